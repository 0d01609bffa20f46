"""Creates an API key in the database itself, for `duetime key create --database-url`: the way back to an admin key."""

import asyncio
import datetime
from collections.abc import Sequence
from typing import Any

import typer

from duetime_core.model import access, api_key, namespace
from duetime_core.model import errors as model_errors
from duetime_core.postgres import database
from duetime_core.process import urls
from duetime_core.store.api_keys import create as key_create
from duetime_stack import errors, external

_ACTOR = "database"
"""Who created a key that no server has created."""
_MAX_NAME_CHARACTERS = 255


def create(
    database_url: str,
    *,
    name: str,
    role: str,
    may_read_payloads: bool,
    handlers: Sequence[str],
    queues: Sequence[str],
    expires_in: datetime.timedelta | None,
    never_expires: bool,
) -> tuple[dict[str, Any], str]:
    """Returns the fields of the new key, named as in the API, and the key itself. Prints an error, and exits."""
    try:
        if not name.strip() or len(name) > _MAX_NAME_CHARACTERS or not name.isprintable():
            raise errors.StackError("NAME must be 1 to 255 characters, without control characters")
        url = external.url("database_url", database_url, is_visible=True)
        grant = api_key.grant(
            name, access.Role(role), may_read_payloads=may_read_payloads, handlers=handlers, queues=queues
        )
        lifetime = None if never_expires else expires_in or api_key.DEFAULT_LIFETIME
        token = api_key.Token.create()
        return _fields(asyncio.run(_create(url, token, grant, lifetime))), token.write()
    except errors.StackError as error:
        typer.echo(f"duetime key create: {error}", err=True)
        raise typer.Exit(1) from error


async def _create(
    url: str, token: api_key.Token, grant: api_key.Grant, lifetime: datetime.timedelta | None
) -> api_key.ApiKey:
    engine = database.connect(url, pool_size=1)
    try:
        with namespace.use(namespace.DEFAULT):
            return await key_create.create(engine, token, grant, lifetime=lifetime, creator=None, actor=_ACTOR)
    except model_errors.StoreUnavailable as error:
        problem = f"PostgreSQL at {urls.shown(url)} cannot be used: {error.__cause__ or error}"
        raise errors.StackError(problem) from error
    finally:
        await engine.dispose()


def _fields(key: api_key.ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.grant.name,
        "role": key.grant.role.value,
        "may_read_payloads": key.grant.may_read_payloads,
        "handlers": tuple(sorted(key.grant.handlers or ())),
        "queues": tuple(sorted(key.grant.queues or ())),
        "actor": key.actor,
        "created_by": key.created_by,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "replaced_by": key.replaced_by or "",
        "last_used_at": key.last_used_at,
        "last_used_from": key.last_used_from or "",
        "in_force": key.is_in_force,
    }
