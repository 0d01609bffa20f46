"""The stack's own admin key.

The file is written before the key is stored: after a crash between the two, the next start stores the key in the file.
"""

import asyncio
import os
import pathlib

from duetime_core.model import access, api_key, namespace
from duetime_core.postgres import database
from duetime_core.store.api_keys import create as key_create

_PREFIX = "authorization: Bearer "
_GRANT = api_key.Grant("admin.key", access.Role.ADMIN, may_read_payloads=True)
_ACTOR = "duetime up"
_ANOTHER = "to create another: duetime key create NAME --role admin --database-url @FILE"


def ensure(path: pathlib.Path, database_url: str) -> str:
    """Creates the file with an admin key, unless the database has one that permits everything.

    Returns what the user has to know, or nothing. Raises StoreUnavailable.
    """
    is_new = not path.exists()
    token = api_key.Token.create()
    if is_new:
        _write(path, token)
    else:
        try:
            token = api_key.Token.parse(path.read_text().strip().removeprefix(_PREFIX))
        except (api_key.Malformed, UnicodeError):
            return f"{path} does not contain an API key"
    is_accepted = asyncio.run(_ensure_stored(token, database_url))
    if is_new and not is_accepted:
        path.unlink()
        return f"none in {path.parent}, because the database has one; {_ANOTHER}"
    problem = f"the one in {path} was revoked, has expired, or is of another database; remove the file, or {_ANOTHER}"
    return "" if is_accepted else problem


async def _ensure_stored(token: api_key.Token, database_url: str) -> bool:
    engine = database.connect(database_url, pool_size=1)
    try:
        with namespace.use(namespace.DEFAULT):
            return await key_create.ensure_first(engine, token, _GRANT, actor=_ACTOR)
    finally:
        await engine.dispose()


def _write(path: pathlib.Path, token: api_key.Token) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{_PREFIX}{token.write()}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(directory)  # PostgreSQL flushes the key, and nothing else has its secret
    os.close(directory)
