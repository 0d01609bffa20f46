"""Creating API keys, and rotating them: a new key replaces an old one, which is accepted a while longer.

A principal may not give away more than it may do. None is the caller of a server that does not require authentication,
or of the database itself, and may give away anything.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key, audit, errors
from duetime_core.postgres import database, namespaced
from duetime_core.store.api_keys import rows
from duetime_core.store.audit import write as audit_write

_NEW = """
INSERT INTO api_keys (namespace_id, key_id, digest, name, role, may_read_payloads, handlers, queues, actor, created_by,
    created_at, expires_at)
SELECT :namespace_id, :key_id, :digest, :name, :role, :may_read_payloads, CAST(:handlers AS text[]),
    CAST(:queues AS text[]), :actor, :created_by, now(), now() + CAST(:lifetime AS interval)
"""
_INSERT = namespaced.text(f"{_NEW} RETURNING {rows.COLUMNS}")
# A key that was revoked or has expired does not come back.
_INSERT_FIRST = namespaced.text(f"""
{_NEW} WHERE NOT EXISTS (
    SELECT FROM api_keys
    WHERE namespace_id = :namespace_id AND (key_id = :key_id OR {rows.IN_FORCE} AND {rows.IS_UNLIMITED_ADMIN})
)
""")
_IS_IN_FORCE = namespaced.text(f"""
SELECT EXISTS (
    SELECT FROM api_keys
    WHERE namespace_id = :namespace_id AND key_id = :key_id AND digest = :digest AND {rows.IN_FORCE}
)
""")
_LOCK = namespaced.text(
    f"SELECT {rows.COLUMNS} FROM api_keys WHERE namespace_id = :namespace_id AND key_id = :key_id FOR UPDATE"
)
_REPLACE = namespaced.text(f"""
UPDATE api_keys SET replaced_by = :replaced_by,
    expires_at = least(expires_at, clock_timestamp() + CAST(:overlap AS interval))
WHERE namespace_id = :namespace_id AND key_id = :key_id
RETURNING {rows.COLUMNS}
""")


async def create(
    engine: sqlalchemy_asyncio.AsyncEngine,
    token: api_key.Token,
    grant: api_key.Grant,
    *,
    lifetime: datetime.timedelta | None,
    creator: access.Principal | None,
    actor: str,
    address: str = "",
) -> api_key.ApiKey:
    """Stores a new key, which never expires if `lifetime` is None. Raises GrantExceeded, StoreUnavailable."""
    _check(grant, creator, "create")
    with database.unavailable():
        async with database.transaction(engine) as connection:
            created = await _insert(connection, token, grant, lifetime, f"key:{token.key_id}", actor)
            await audit_write.key_changed(
                connection, audit.Kind.KEY_CREATED, created.key_id, actor=actor, address=address
            )
            return created


async def ensure_first(
    engine: sqlalchemy_asyncio.AsyncEngine, token: api_key.Token, grant: api_key.Grant, *, actor: str
) -> bool:
    """Returns whether that key is accepted. Stores it, to never expire, if no key permits everything yet.

    Raises StoreUnavailable.
    """
    with database.unavailable():
        async with database.transaction(engine) as connection:
            parameters = _parameters(token, grant, None, f"key:{token.key_id}", actor)
            if (await connection.execute(_INSERT_FIRST, parameters)).rowcount:
                kind = audit.Kind.KEY_CREATED
                await audit_write.key_changed(connection, kind, token.key_id, actor=actor, address="")
            found = await connection.execute(_IS_IN_FORCE, {"key_id": token.key_id, "digest": token.digest()})
            return bool(found.scalar_one())


async def rotate(
    engine: sqlalchemy_asyncio.AsyncEngine,
    key_id: str,
    token: api_key.Token,
    *,
    overlap: datetime.timedelta,
    lifetime: datetime.timedelta | None = None,
    creator: access.Principal | None,
    actor: str,
    address: str = "",
) -> tuple[api_key.ApiKey, api_key.ApiKey]:
    """Replaces a key with a new one that permits the same, and returns both, the new one first.

    The old one expires after `overlap`, if not before. The new one lives as long as the old one did when it was
    created, or for `lifetime`. Raises ApiKeyNotFound, ApiKeyNotInForce, GrantExceeded and StoreUnavailable.
    """
    with database.unavailable():
        async with database.transaction(engine) as connection:
            row = (await connection.execute(_LOCK, {"key_id": key_id})).one_or_none()
            if row is None:
                raise errors.ApiKeyNotFound.of(key_id)
            old = rows.read(row)
            _check(old.grant, creator, "rotate")
            if old.replaced_by is not None:
                raise errors.ApiKeyNotInForce(
                    f"API key {key_id} was rotated already, to {old.replaced_by}: rotate that one.", key_id=key_id
                )
            if not old.is_in_force:
                ended = "expired" if old.revoked_at is None else "was revoked"
                raise errors.ApiKeyNotInForce(f"API key {key_id} {ended}: create a new one.", key_id=key_id)
            if lifetime is None and old.expires_at is not None:
                lifetime = old.expires_at - old.created_at
            new = await _insert(connection, token, old.grant, lifetime, old.actor, actor)
            for kind, changed in ((audit.Kind.KEY_ROTATED, key_id), (audit.Kind.KEY_CREATED, new.key_id)):
                await audit_write.key_changed(connection, kind, changed, actor=actor, address=address)
            replacing = {"key_id": key_id, "replaced_by": new.key_id, "overlap": overlap}
            return new, rows.read((await connection.execute(_REPLACE, replacing)).one())


async def _insert(
    connection: sqlalchemy_asyncio.AsyncConnection,
    token: api_key.Token,
    grant: api_key.Grant,
    lifetime: datetime.timedelta | None,
    acts_as: str,
    created_by: str,
) -> api_key.ApiKey:
    parameters = _parameters(token, grant, lifetime, acts_as, created_by)
    return rows.read((await connection.execute(_INSERT, parameters)).one())


def _parameters(
    token: api_key.Token, grant: api_key.Grant, lifetime: datetime.timedelta | None, acts_as: str, created_by: str
) -> dict[str, Any]:
    return {
        "key_id": token.key_id,
        "digest": token.digest(),
        "name": grant.name,
        "role": grant.role.value,
        "may_read_payloads": grant.may_read_payloads,
        "handlers": _sorted(grant.handlers),
        "queues": _sorted(grant.queues),
        "actor": acts_as,
        "created_by": created_by,
        "lifetime": lifetime,
    }


def _sorted(names: frozenset[str] | None) -> Sequence[str] | None:
    return None if names is None else sorted(names)


def _check(grant: api_key.Grant, creator: access.Principal | None, what: str) -> None:
    if creator is not None and (exceeding := grant.exceeds(creator)):
        raise errors.GrantExceeded.of(what, exceeding)
