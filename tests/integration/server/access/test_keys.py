"""Callers are authenticated by API keys, and refused as soon as a key is revoked, rotated or expired."""

import asyncio
import datetime
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key, errors
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.api_keys import read as key_read
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_server import access as server_access
from duetime_server.access import attempts, keys, known_keys
from tests.integration.postgres.test_database_outages import outage
from tests.support import keys as made
from tests.support import moved_time

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> moved_time.MovedTime:
    """The clock of what is remembered."""
    return moved_time.MovedTime(monkeypatch, keys, known_keys)


@pytest.fixture
def authenticator(engine: Engine, clock: moved_time.MovedTime) -> keys.KeyAuthenticator:
    """An authenticator that hears no hints."""
    return keys.KeyAuthenticator(engine)


async def refused(authenticator: keys.KeyAuthenticator, token: str) -> None:
    with pytest.raises(errors.CredentialsInvalid) as raised:
        await authenticator.authenticate(token)
    assert not token[20:] or token[20:] not in str(raised.value)


async def test_a_key_is_who_it_was_created_for(engine: Engine, authenticator: keys.KeyAuthenticator) -> None:
    grant = api_key.Grant("ci", access.Role.EDITOR, True, frozenset({"Greet"}), frozenset({"mail"}))
    token, created = await made.create(engine, grant)
    assert await authenticator.authenticate(token.write()) == access.Principal(
        f"key:{token.key_id}",
        access.Role.EDITOR,
        True,
        frozenset({"Greet"}),
        frozenset({"mail"}),
        created.expires_at,
        token.key_id,
    )


async def test_what_is_no_key_is_refused_without_a_query(engine: Engine, authenticator: keys.KeyAuthenticator) -> None:
    token, _ = await made.create(engine)
    statements: list[str] = []
    sa.event.listen(engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    written = token.write()
    other = "b" if written[-1] == "a" else "a"
    for text in ("", "x", "dt_", written[:-1] + other, written + "a", "dt_" + "a" * 2**20, written.lower() + "_"):
        await refused(authenticator, text)
    assert statements == []


async def test_one_changed_bit_of_a_key_is_refused(engine: Engine, authenticator: keys.KeyAuthenticator) -> None:
    token, _ = await made.create(engine)
    written = token.write()
    for place in range(len(written)):
        await refused(authenticator, written[:place] + chr(ord(written[place]) ^ 1) + written[place + 1 :])
    await authenticator.authenticate(written)


async def test_the_secret_of_another_key_and_an_unknown_id_are_refused(
    engine: Engine, authenticator: keys.KeyAuthenticator
) -> None:
    one, other = (await made.create(engine))[0], (await made.create(engine))[0]
    await refused(authenticator, api_key.Token(one.key_id, other.secret).write())
    await refused(authenticator, api_key.Token.create().write())
    assert (await key_read.get(engine, one.key_id)).last_used_at is None


async def at(address: str, authenticator: keys.KeyAuthenticator, token: api_key.Token) -> access.Principal:
    """Authenticates a caller with that address, in a task of its own."""
    server_access.origin.set(address)
    return await authenticator.authenticate(token.write())


@pytest.fixture
def no_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets no address try further keys while the test runs."""
    monkeypatch.setattr(attempts, "PER_SECOND", 1e-6)


@pytest.mark.usefixtures("no_refill")
async def test_who_hangs_up_has_tried_an_unknown_key_all_the_same(engine: Engine) -> None:
    authenticator = keys.KeyAuthenticator(engine)
    unknown = [api_key.Token.create() for _ in range(attempts.BURST)]
    hanging_up = [asyncio.create_task(at("192.0.2.7", authenticator, each)) for each in unknown]
    await asyncio.sleep(0)  # they wait for the database
    for each in hanging_up:
        each.cancel()
    await asyncio.wait(hanging_up)
    assert all(each.cancelled() for each in hanging_up)
    with pytest.raises(errors.CallRateExceeded):
        await asyncio.create_task(at("192.0.2.7", authenticator, api_key.Token.create()))


@pytest.mark.usefixtures("no_refill")
async def test_unknown_keys_of_an_address_keep_out_none_that_exists(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "MAX_KEYS", 2)
    authenticator = keys.KeyAuthenticator(engine)
    used, unused, dead = [(await made.create(engine))[0] for _ in range(3)]
    before = keys.KeyAuthenticator(engine)
    await before.authenticate(used.write())
    await before.note_uses()
    await made.expire(engine, dead.key_id)
    await authenticator.learn_ids()
    unknown = (api_key.Token.create() for _ in range(attempts.BURST))
    guesses = [asyncio.create_task(at("192.0.2.7", authenticator, each)) for each in unknown]
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(each) for each in outcomes} == {errors.CredentialsInvalid}
    for token in (used, unused):
        await asyncio.create_task(at("192.0.2.7", authenticator, token))
    for token in (dead, api_key.Token.create()):
        with pytest.raises(errors.CallRateExceeded):
            await asyncio.create_task(at("192.0.2.7", authenticator, token))


async def test_an_expired_key_is_refused_also_while_it_is_remembered(
    engine: Engine, authenticator: keys.KeyAuthenticator, clock: moved_time.MovedTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FRESH_SECONDS", 1e9)
    token, _ = await made.create(engine, lifetime=HOUR)
    await authenticator.authenticate(token.write())
    clock.move(HOUR.total_seconds() + 1)
    await refused(authenticator, token.write())
    dead, _ = await made.create(engine)
    await made.expire(engine, dead.key_id)
    await refused(authenticator, dead.write())


async def test_a_revoked_key_is_refused_after_5_seconds_without_redis(
    engine: Engine, authenticator: keys.KeyAuthenticator, clock: moved_time.MovedTime
) -> None:
    token, _ = await made.create(engine)
    await authenticator.authenticate(token.write())
    await key_revoke.revoke(engine, token.key_id, revoker=None, actor="test")
    clock.move(5)
    await refused(authenticator, token.write())


@pytest_asyncio.fixture
async def bell(authenticator: keys.KeyAuthenticator, redis_url: str) -> AsyncIterator[doorbell.Doorbell]:
    """A doorbell whose hints the authenticator hears."""
    client = redis_client.connect(redis_url, prefix="keys-test")
    ringing = doorbell.Doorbell(client)
    services = background.start(ringing.run(), authenticator.listen(client))
    async with asyncio.timeout(20):
        while not (await client.pubsub_numsub(client.names.keys))[0][1]:
            pass
    yield ringing
    await background.end(services)
    await client.aclose(close_connection_pool=True)


async def test_a_revoked_key_is_refused_at_once_with_redis(
    engine: Engine, authenticator: keys.KeyAuthenticator, bell: doorbell.Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FRESH_SECONDS", 1e9)
    token, _ = await made.create(engine)
    await authenticator.authenticate(token.write())
    await key_revoke.revoke(engine, token.key_id, revoker=None, actor="test")
    bell.keys_changed([token.key_id])

    async def until_refused() -> None:
        async with asyncio.timeout(20):
            while True:
                await authenticator.authenticate(token.write())
                await asyncio.sleep(0)  # what is remembered is returned without a turn for the hint

    with pytest.raises(errors.CredentialsInvalid):
        await until_refused()


async def test_a_rotated_key_is_refused_past_its_overlap_and_the_new_one_is_the_same_caller(
    engine: Engine, authenticator: keys.KeyAuthenticator, clock: moved_time.MovedTime
) -> None:
    token, _ = await made.create(engine)
    fresh, _, _ = await made.rotate(engine, token.key_id, overlap=HOUR)
    before, after = [await authenticator.authenticate(each.write()) for each in (token, fresh)]
    assert before.actor == after.actor
    await made.expire(engine, token.key_id)  # as the hour does
    clock.move(5)
    await refused(authenticator, token.write())
    await authenticator.authenticate(fresh.write())


async def test_without_the_database_a_known_key_is_accepted_for_a_minute_and_no_other(
    engine: Engine,
    authenticator: keys.KeyAuthenticator,
    clock: moved_time.MovedTime,
    admin: Engine,
    database_url: str,
) -> None:
    token, other = (await made.create(engine))[0], (await made.create(engine))[0]
    await authenticator.authenticate(token.write())
    async with outage(admin, database_url):
        for _ in range(10):
            clock.move(5)
            await authenticator.authenticate(token.write())
            with pytest.raises(errors.StoreUnavailable):
                await authenticator.authenticate(other.write())
            await refused(authenticator, api_key.Token(token.key_id, other.secret).write())
        clock.move(10)
        with pytest.raises(errors.StoreUnavailable):
            await authenticator.authenticate(token.write())
    clock.move(5)
    await authenticator.authenticate(token.write())


async def test_the_last_use_is_written_behind_also_after_an_outage(
    engine: Engine, authenticator: keys.KeyAuthenticator, admin: Engine, database_url: str
) -> None:
    token, unused = (await made.create(engine))[0], (await made.create(engine))[0]
    for address in ("192.0.2.1", "192.0.2.2"):
        authenticator.came_from(await authenticator.authenticate(token.write()), address)
    assert (await key_read.get(engine, token.key_id)).last_used_at is None
    async with outage(admin, database_url):
        with pytest.raises(errors.StoreUnavailable):
            await authenticator.note_uses()
    await authenticator.note_uses()
    used = await key_read.get(engine, token.key_id)
    assert used.last_used_from == "192.0.2.2"
    assert used.last_used_at is not None
    assert used.last_used_at >= used.created_at
    assert (await key_read.get(engine, unused.key_id)).last_used_at is None
