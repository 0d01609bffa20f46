"""API keys are created, listed, rotated and revoked, and nobody gives away more than they have."""

import asyncio
import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key, errors
from duetime_core.postgres import database
from duetime_core.store.api_keys import read as key_read
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_core.store.api_keys import usage
from tests.support import keys, logs

Engine = sqlalchemy_asyncio.AsyncEngine
DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
LIMITED = access.Principal("key:few", access.Role.ADMIN, may_read_payloads=True, handlers=frozenset({"Greet"}))


async def listed(engine: Engine, *, with_ended: bool = False) -> list[str]:
    found = await key_read.list_keys(engine, with_ended=with_ended, after=0, limit=100)
    return [each.key_id for each in found]


async def test_a_new_key_is_as_it_was_given_and_its_secret_is_not_stored(engine: Engine) -> None:
    grant = api_key.Grant("ci", access.Role.EDITOR, True, frozenset({"Send Email", "Greet"}), frozenset({"mail"}))
    token, created = await keys.create(engine, grant, lifetime=DAY, actor="key:creator")
    assert await key_read.get(engine, token.key_id) == created
    assert (created.grant, created.actor, created.created_by) == (grant, f"key:{token.key_id}", "key:creator")
    assert created.expires_at == created.created_at + DAY
    assert created.is_in_force
    async with engine.connect() as connection:
        (row,) = (await connection.execute(sa.text("SELECT CAST(api_keys AS text) FROM api_keys"))).scalars()
    assert token.secret not in row


async def test_a_key_that_never_expires_has_no_time_for_it(engine: Engine) -> None:
    _, created = await keys.create(engine, lifetime=None)
    assert (created.expires_at, created.is_in_force) == (None, True)


async def test_an_unknown_key_is_not_found(engine: Engine) -> None:
    for call in (
        key_read.get(engine, "a" * 12),
        key_revoke.revoke(engine, "a" * 12, revoker=None, actor="test"),
        keys.rotate(engine, "a" * 12),
    ):
        with pytest.raises(errors.ApiKeyNotFound):
            await call


async def test_keys_are_listed_a_page_at_a_time_without_those_that_ended(engine: Engine) -> None:
    created = [(await keys.create(engine))[1] for _ in range(5)]
    await key_revoke.revoke(engine, created[1].key_id, revoker=None, actor="test")
    await keys.expire(engine, created[3].key_id)
    ids = [each.key_id for each in created]
    assert await listed(engine, with_ended=True) == ids
    assert await listed(engine) == [ids[0], ids[2], ids[4]]
    page = await key_read.list_keys(engine, with_ended=True, after=created[1].number, limit=2)
    assert [each.key_id for each in page] == ids[2:4]
    assert [each.is_in_force for each in page] == [True, False]


async def test_a_rotated_key_is_accepted_during_the_overlap_and_both_act_as_one(engine: Engine) -> None:
    token, before = await keys.create(engine, lifetime=30 * DAY)
    fresh, new, old = await keys.rotate(engine, token.key_id, overlap=HOUR)
    assert (new.grant, new.actor) == (before.grant, before.actor)
    assert new.expires_at == new.created_at + 30 * DAY
    assert old.replaced_by == new.key_id == fresh.key_id
    assert old.expires_at is not None
    assert old.expires_at - new.created_at < HOUR + datetime.timedelta(minutes=1)
    assert old.is_in_force
    assert fresh.secret != token.secret


async def test_a_key_that_was_rotated_without_an_overlap_has_ended(engine: Engine) -> None:
    token, _ = await keys.create(engine, lifetime=None)
    _, new, old = await keys.rotate(engine, token.key_id, overlap=datetime.timedelta())
    assert not (await key_read.get(engine, old.key_id)).is_in_force
    assert new.expires_at is None


async def test_an_overlap_lengthens_no_life(engine: Engine) -> None:
    token, before = await keys.create(engine, lifetime=HOUR)
    _, _, old = await keys.rotate(engine, token.key_id, overlap=30 * DAY)
    assert old.expires_at == before.expires_at


async def test_a_key_that_has_ended_or_was_rotated_is_not_rotated(engine: Engine) -> None:
    revoked, expired, rotated = [(await keys.create(engine))[0].key_id for _ in range(3)]
    await key_revoke.revoke(engine, revoked, revoker=None, actor="test")
    await keys.expire(engine, expired)
    _, new, _ = await keys.rotate(engine, rotated)
    for key_id, problem in ((revoked, "was revoked"), (expired, "expired"), (rotated, new.key_id)):
        with pytest.raises(errors.ApiKeyNotInForce, match=problem):
            await keys.rotate(engine, key_id)
    assert len(await listed(engine, with_ended=True)) == 4


async def test_of_two_rotations_at_once_one_is_made(engine: Engine) -> None:
    token, _ = await keys.create(engine)
    made = await asyncio.gather(*(keys.rotate(engine, token.key_id) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, errors.ApiKeyNotInForce) for each in made) == 3


async def test_a_revoked_key_stays_revoked_at_the_same_time(engine: Engine) -> None:
    token, _ = await keys.create(engine)
    first = await key_revoke.revoke(engine, token.key_id, revoker=None, actor="test")
    assert not first.is_in_force
    assert await key_revoke.revoke(engine, token.key_id, revoker=None, actor="test") == first


@pytest.mark.parametrize(
    "changes",
    [
        {"handlers": None},
        {"handlers": frozenset({"Greet", "Send Email"})},
        {"role": access.Role.ADMIN, "handlers": None},
    ],
    ids=["all handlers", "another handler", "a higher role"],
)
async def test_nobody_creates_rotates_or_revokes_a_key_that_permits_more_than_they_may(
    engine: Engine, changes: dict[str, Any]
) -> None:
    grant = api_key.Grant(**{"name": "ci", "role": access.Role.EDITOR, **changes})
    token, before = await keys.create(engine, grant)
    for call in (
        keys.create(engine, grant, creator=LIMITED),
        keys.rotate(engine, token.key_id, creator=LIMITED),
        key_revoke.revoke(engine, token.key_id, revoker=LIMITED, actor="test"),
    ):
        with pytest.raises(errors.GrantExceeded, match="handlers"):
            await call
    assert await key_read.get(engine, token.key_id) == before
    assert await listed(engine) == [token.key_id]


async def test_a_limited_admin_creates_keys_within_its_limits(engine: Engine) -> None:
    grant = api_key.Grant("ci", access.Role.EDITOR, True, frozenset({"Greet"}))
    token, _ = await keys.create(engine, grant, creator=LIMITED)
    await keys.rotate(engine, token.key_id, creator=LIMITED)
    await key_revoke.revoke(engine, token.key_id, revoker=LIMITED, actor="test")


async def test_the_last_admin_key_cannot_be_revoked(engine: Engine) -> None:
    token, _ = await keys.create(engine, keys.ADMIN, lifetime=None)
    limited = api_key.Grant("few", access.Role.ADMIN, True, frozenset({"Greet"}))
    others = [
        (await keys.create(engine, grant, lifetime=lifetime))[0].key_id
        for grant, lifetime in ((keys.GRANT, None), (limited, None), (keys.ADMIN, HOUR), (keys.ADMIN, None))
    ]
    await key_revoke.revoke(engine, others[-1], revoker=None, actor="test")
    with pytest.raises(errors.LastAdminKey):
        await key_revoke.revoke(engine, token.key_id, revoker=None, actor="test")
    # It can be once another one is accepted for a day; and what is left then cannot.
    other, _ = await keys.create(engine, keys.ADMIN, lifetime=2 * DAY)
    await key_revoke.revoke(engine, token.key_id, revoker=None, actor="test")
    with pytest.raises(errors.LastAdminKey):
        await key_revoke.revoke(engine, other.key_id, revoker=None, actor="test")


async def test_two_admins_who_revoke_each_other_leave_one(engine: Engine) -> None:
    one, other = [(await keys.create(engine, keys.ADMIN, lifetime=None))[0].key_id for _ in range(2)]
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT FROM api_keys FOR UPDATE"))
        revoking = [
            asyncio.create_task(key_revoke.revoke(engine, each, revoker=None, actor="test")) for each in (one, other)
        ]
        await logs.waits_for_a_row(engine, waiters=2)
    ended = await asyncio.gather(*revoking, return_exceptions=True)
    assert sum(isinstance(each, errors.LastAdminKey) for each in ended) == 1
    assert len(await listed(engine)) == 1


async def test_the_key_of_a_caller_is_found_with_its_digest(engine: Engine) -> None:
    token, created = await keys.create(engine, lifetime=HOUR)
    lasting, _ = await keys.create(engine, lifetime=None)
    found = await key_read.find(engine, [token.key_id, lasting.key_id, "a" * 12])
    assert found.keys() == {token.key_id, lasting.key_id}
    known = found[token.key_id]
    assert known.key == created
    assert token.matches(known.digest)
    assert known.expires_in is not None
    assert HOUR - datetime.timedelta(minutes=1) < known.expires_in <= HOUR
    assert found[lasting.key_id].expires_in is None


async def test_the_last_use_of_many_keys_is_noted_at_once_and_the_latest_wins(engine: Engine) -> None:
    one, other, unused = [(await keys.create(engine))[0].key_id for _ in range(3)]
    minute = datetime.timedelta(minutes=1)
    now = datetime.timedelta()
    await usage.note(engine, {one: usage.Use(minute, "192.0.2.1"), other: usage.Use(now, "")})
    await usage.note(engine, {one: usage.Use(now, "192.0.2.2"), other: usage.Use(minute, "192.0.2.3")})
    await usage.note(engine, {one: usage.Use(-now, "")})  # not known: the one before is kept
    found = {key_id: await key_read.get(engine, key_id) for key_id in (one, other, unused)}
    assert [found[each].last_used_from for each in (one, other, unused)] == ["192.0.2.2", None, None]
    assert found[one].last_used_at is not None
    assert found[other].last_used_at is not None
    assert found[unused].last_used_at is None


async def test_a_use_is_noted_without_waiting_for_a_key_that_is_locked(engine: Engine) -> None:
    locked, free = [(await keys.create(engine))[0].key_id for _ in range(2)]
    use = usage.Use(datetime.timedelta(), "192.0.2.1")
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT FROM api_keys WHERE key_id = :id FOR UPDATE"), {"id": locked})
        await usage.note(engine, {locked: use, free: use})
    assert (await key_read.get(engine, locked)).last_used_at is None
    assert (await key_read.get(engine, free)).last_used_from == "192.0.2.1"
