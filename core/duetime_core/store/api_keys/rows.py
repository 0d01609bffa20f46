"""Rows of `api_keys`: their columns, and how they are read."""

from typing import Any

import sqlalchemy as sa

from duetime_core.model import access, api_key

IN_FORCE = "(revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()))"
"""The condition that a key is accepted."""
IS_UNLIMITED_ADMIN = "(role = 'admin' AND may_read_payloads AND handlers IS NULL AND queues IS NULL)"
"""The condition that a key permits everything."""
COLUMNS = f"""key_id, number, name, role, may_read_payloads, handlers, queues, actor, created_by, created_at,
    expires_at, revoked_at, replaced_by, last_used_at, last_used_from, {IN_FORCE} AS is_in_force,
    namespace_id"""


def read(row: sa.Row[Any]) -> api_key.ApiKey:
    """Returns the key with these COLUMNS."""
    grant = api_key.Grant(
        row.name, access.Role(row.role), row.may_read_payloads, _names(row.handlers), _names(row.queues)
    )
    return api_key.ApiKey(
        row.key_id,
        row.number,
        grant,
        row.actor,
        row.created_by,
        row.created_at,
        row.expires_at,
        row.revoked_at,
        row.replaced_by,
        row.last_used_at,
        row.last_used_from,
        row.is_in_force,
        row.namespace_id,
    )


def _names(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
