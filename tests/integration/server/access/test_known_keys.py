"""Keys are read in few statements, and remembered within bounds."""

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import api_key, errors
from duetime_core.postgres import database
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_server.access import known_keys
from tests.support import keys as made
from tests.support import logs

Engine = sqlalchemy_asyncio.AsyncEngine


async def test_many_keys_at_once_are_read_in_a_few_statements(engine: Engine) -> None:
    tokens = [(await made.create(engine))[0] for _ in range(20)]
    known = known_keys.KnownKeys(engine)
    statements: list[str] = []
    sa.event.listen(engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    unknown = [api_key.Token.create().key_id for _ in range(500)]
    asked = [*unknown, *(token.key_id for token in tokens)] * 2
    found = await asyncio.gather(*map(known.read, asked))
    assert [entry.known is not None for entry in found] == [key_id not in unknown for key_id in asked]
    assert len(statements) <= 3
    assert known.get(tokens[0].key_id) is not None
    assert known.get(unknown[0]) is not None


async def test_unknown_ids_replace_no_known_key_and_both_are_bounded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "MAX_KEYS", 10)
    token, _ = await made.create(engine)
    known = known_keys.KnownKeys(engine)
    await known.read(token.key_id)
    unknown = [api_key.Token.create().key_id for _ in range(200)]
    await asyncio.gather(*map(known.read, unknown))
    assert known.get(token.key_id) is not None
    assert sum(known.get(key_id) is not None for key_id in unknown) == 10
    others = [(await made.create(engine))[0].key_id for _ in range(10)]
    await asyncio.gather(*map(known.read, others))
    assert known.get(token.key_id) is None
    assert all(known.get(key_id) is not None for key_id in others)


async def test_a_key_that_is_revoked_while_it_is_read_is_not_remembered(engine: Engine) -> None:
    token, _ = await made.create(engine)
    known = known_keys.KnownKeys(engine)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
        reading = asyncio.create_task(known.read(token.key_id))
        await logs.waits_for_a_lock(engine)
        known.forget([token.key_id])  # as the hint of a revocation that this read may have missed
    await reading
    assert known.get(token.key_id) is None
    await key_revoke.revoke(engine, token.key_id, revoker=None, actor="test")
    entry = await known.read(token.key_id)
    assert not entry.is_in_force(entry.read_at)


async def test_a_caller_who_hangs_up_takes_the_answer_from_no_other(engine: Engine) -> None:
    token, _ = await made.create(engine)
    known = known_keys.KnownKeys(engine)
    one, other = [asyncio.create_task(known.read(token.key_id)) for _ in range(2)]
    await asyncio.sleep(0)
    one.cancel()
    assert (await other).known is not None
    assert one.cancelled()


async def test_a_database_that_does_not_answer_is_unavailable_and_not_asked_for_a_while(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "_READ_SECONDS", 0.2)
    monkeypatch.setattr(known_keys, "_RETRY_SECONDS", 1e9)
    token, _ = await made.create(engine)
    known = known_keys.KnownKeys(engine)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(errors.StoreUnavailable):
            await known.read(token.key_id)
    with pytest.raises(errors.StoreUnavailable):
        await known.read(token.key_id)
    monkeypatch.setattr(known_keys, "_RETRY_SECONDS", 0.0)
    assert (await known.read(token.key_id)).known is not None
