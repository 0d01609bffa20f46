"""The stack's own admin key: one file, which is written before the key is stored."""

import asyncio
import pathlib

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import api_key
from duetime_core.store.api_keys import read as key_read
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_stack import admin_key
from tests.support import keys

Engine = sqlalchemy_asyncio.AsyncEngine
PREFIX = "authorization: Bearer "


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "admin.key"


async def ensure(path: pathlib.Path, engine: Engine) -> str:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncio.to_thread(admin_key.ensure, path, url)


async def stored(engine: Engine) -> list[api_key.ApiKey]:
    return await key_read.list_keys(engine, with_ended=True, after=0, limit=10)


def content(path: pathlib.Path) -> str | None:
    return path.read_text() if path.exists() else None


def mode(path: pathlib.Path) -> int:
    return path.stat().st_mode & 0o777


def token(path: pathlib.Path) -> api_key.Token:
    return api_key.Token.parse(path.read_text().strip().removeprefix(PREFIX))


async def test_the_first_start_stores_a_key_that_permits_everything_and_never_expires(
    engine: Engine, path: pathlib.Path
) -> None:
    assert await ensure(path, engine) == ""
    assert mode(path) == 0o600
    (key,) = await stored(engine)
    assert (key.key_id, key.grant.role, key.grant.may_read_payloads) == (token(path).key_id, "admin", True)
    assert (key.grant.handlers, key.grant.queues, key.expires_at, key.created_by) == (None, None, None, "duetime up")
    assert (await key_read.find(engine, [key.key_id]))[key.key_id].digest == token(path).digest()


async def test_later_starts_change_nothing(engine: Engine, path: pathlib.Path) -> None:
    await ensure(path, engine)
    before = content(path)
    assert await ensure(path, engine) == ""
    assert (content(path), len(await stored(engine))) == (before, 1)


async def test_a_start_after_a_crash_stores_the_key_that_is_in_the_file(engine: Engine, path: pathlib.Path) -> None:
    path.with_name("admin.key.new").write_text("half of a k")  # a crash while it was written
    await ensure(path, engine)
    async with engine.connect() as connection:  # as if it had crashed before the key was stored
        await connection.execute(sa.text("DELETE FROM api_keys"))
    assert await ensure(path, engine) == ""
    assert [key.key_id for key in await stored(engine)] == [token(path).key_id]


async def test_a_database_that_has_an_admin_key_gets_no_other(engine: Engine, path: pathlib.Path) -> None:
    await keys.create(engine, keys.ADMIN)
    said = await ensure(path, engine)
    assert said.startswith(
        f"none in {path.parent}, because the database has one; to create another: duetime key create"
    )
    assert content(path) is None
    assert len(await stored(engine)) == 1


@pytest.mark.parametrize("is_other", [False, True], ids=["a limited one", "an expired one"])
async def test_a_database_whose_other_keys_do_not_permit_everything_gets_one(
    engine: Engine, path: pathlib.Path, is_other: bool
) -> None:
    _, other = await keys.create(engine, keys.ADMIN if is_other else keys.GRANT)
    await keys.expire(engine, other.key_id)
    await ensure(path, engine)
    assert content(path) is not None


async def test_a_revoked_key_is_said_to_be_so_and_does_not_come_back(engine: Engine, path: pathlib.Path) -> None:
    await ensure(path, engine)
    await keys.create(engine, keys.ADMIN)
    await key_revoke.revoke(engine, token(path).key_id, revoker=None, actor="test")
    before = content(path)
    assert "was revoked, has expired, or is of another database" in await ensure(path, engine)
    assert content(path) == before
    assert [key.revoked_at is None for key in await stored(engine)] == [False, True]


async def test_a_file_with_something_else_is_kept(engine: Engine, path: pathlib.Path) -> None:
    path.with_name(path.name).write_text("mine")
    assert await ensure(path, engine) == f"{path} does not contain an API key"
    assert (content(path), await stored(engine)) == ("mine", [])
