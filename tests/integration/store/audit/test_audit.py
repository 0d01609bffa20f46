"""Audit events: a key's commits with its change or not at all, and only retention deletes some."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import access, api_key, audit, errors
from duetime_core.postgres import database
from duetime_core.store.api_keys import create as key_create
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_core.store.audit import retention
from duetime_core.store.audit import write as audit_write
from tests.support import audit as audited
from tests.support import keys

Engine = sqlalchemy_asyncio.AsyncEngine
DAY = datetime.timedelta(days=1)
LIMITED = access.Principal("key:few", access.Role.VIEWER)


async def test_a_key_that_is_created_rotated_and_revoked_leaves_an_event_of_each_and_so_does_its_new_one(
    engine: Engine,
) -> None:
    token, new = api_key.Token.create(), api_key.Token.create()
    by: Any = {"actor": "key:admin", "address": "192.0.2.7"}
    await key_create.create(engine, token, keys.GRANT, lifetime=DAY, creator=None, **by)
    await key_create.rotate(engine, token.key_id, new, overlap=DAY, creator=None, **by)
    await key_revoke.revoke(engine, token.key_id, revoker=None, **by)
    await key_revoke.revoke(engine, token.key_id, revoker=None, actor="again")
    found = await audited.events(engine)
    assert [(each.kind, each.key_id) for each in found] == [
        ("key_created", token.key_id),
        ("key_rotated", token.key_id),
        ("key_created", new.key_id),
        ("key_revoked", token.key_id),
    ]
    assert {(each.actor, each.address, each.calls) for each in found} == {("key:admin", "192.0.2.7", 1)}
    assert not [value for each in found for value in each if token.secret in str(value) or new.secret in str(value)]


async def test_a_change_of_a_key_that_fails_leaves_no_event(engine: Engine) -> None:
    token, _ = await keys.create(engine)
    before = await audited.events(engine)
    for failing in (
        keys.create(engine, creator=LIMITED),
        keys.rotate(engine, token.key_id, creator=LIMITED),
        key_revoke.revoke(engine, token.key_id, revoker=LIMITED, actor="key:few"),
    ):
        with pytest.raises(errors.GrantExceeded):
            await failing
    assert await audited.events(engine) == before


async def test_a_key_and_its_event_commit_together(engine: Engine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("ALTER TABLE audit_events ADD CHECK (actor <> 'nobody')"))
    with pytest.raises(Exception, match="CheckViolation"):
        await keys.create(engine, actor="nobody")
    async with engine.connect() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM api_keys"))).scalar_one() == 0


async def test_the_first_admin_key_of_a_stack_leaves_one_event(engine: Engine) -> None:
    token = api_key.Token.create()
    for _ in range(2):
        assert await key_create.ensure_first(engine, token, keys.ADMIN, actor="duetime up")
    (event,) = await audited.events(engine)
    assert (event.kind, event.actor, event.key_id) == ("key_created", "duetime up", token.key_id)


async def test_many_refused_calls_are_one_event_with_their_count_and_times(engine: Engine) -> None:
    refusal = audit.Refusal(audit.Kind.PERMISSION_DENIED, "PERMISSION_DENIED", "key:a", "a" * 12, "192.0.2.7")
    other = audit.Refusal(audit.Kind.AUTHENTICATION_FAILED, "CREDENTIALS_INVALID")
    await audit_write.refused(
        engine,
        [audit.Refused(refusal, "DeleteTask", 2**40, 3 * DAY, DAY), audit.Refused(other, "GetTask", 1, DAY, DAY)],
    )
    first, second = await audited.events(engine)
    assert (first.kind, first.reason, first.actor, first.key_id, first.address, first.method, first.calls) == (
        *("permission_denied", "PERMISSION_DENIED", "key:a", "a" * 12, "192.0.2.7", "DeleteTask"),
        2**31 - 1,
    )
    assert first.timestamp - first.first_timestamp == 2 * DAY
    assert (second.actor, second.key_id, second.address) == (None, None, None)


async def test_retention_deletes_old_events_in_batches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    async with engine.connect() as connection:
        await connection.execute(
            sa.text("INSERT INTO audit_events (kind, timestamp) SELECT 'x', now() - n * interval '1 day' "
                    "FROM generate_series(1, 9) AS n")
        )  # fmt: skip
    assert [count async for count in retention.delete(engine, DAY * 4.5)] == [2, 2, 1]
    assert len(await audited.events(engine)) == 4


async def test_an_event_is_added_while_retention_and_readers_hold_their_rows(engine: Engine) -> None:
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT FROM audit_events FOR UPDATE"))
        await keys.create(engine)
