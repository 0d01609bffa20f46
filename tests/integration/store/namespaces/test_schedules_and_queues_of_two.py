"""Schedules, queues, keys and audit events of two namespaces at the store, with the same names in both."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import audit, errors, namespace, queue, schedule, task, worker
from duetime_core.store.api_keys import create as key_create
from duetime_core.store.api_keys import read as key_read
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_core.store.audit import read as audit_read
from duetime_core.store.audit import write as audit_write
from duetime_core.store.claiming import rescue
from duetime_core.store.queues import handlers, workers
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.queues import read as queue_read
from duetime_core.store.schedules import advance as schedule_advance
from duetime_core.store.schedules import backfill, candidates, floors, recompute, trigger
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import log as schedule_log
from duetime_core.store.schedules import page as schedule_page
from duetime_core.store.tasks import explain, page, read
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.integration.store.schedules import test_schedule_claims
from tests.support import factories, keys, rows

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

OF_SCHEDULES: dict[str, Callable[[Engine, int], Awaitable[Any]]] = {
    "get": schedule_edit.get,
    "logs": lambda engine, schedule_id: schedule_log.list_logs(engine, schedule_id, after=0, limit=9),
    "update": lambda engine, schedule_id: schedule_edit.update(
        engine, schedule_id, {"name": "x"}, version=None, actor="api"
    ),
    "pause": lambda engine, schedule_id: schedule_edit.pause(engine, schedule_id, actor="api"),
    "resume": lambda engine, schedule_id: schedule_edit.resume(engine, schedule_id, actor="api"),
    "trigger": lambda engine, schedule_id: trigger.trigger(engine, schedule_id, request_id=None, actor="api"),
    "backfill": lambda engine, schedule_id: backfill.backfill(
        engine, schedule_id, start_time=PAST, end_time=PAST + HOUR, actor="api"
    ),
    "delete": lambda engine, schedule_id: schedule_edit.delete(engine, schedule_id, actor="api"),
}


async def test_a_schedule_of_another_namespace_is_as_one_that_never_was(engine: Engine, other: int) -> None:
    made = await factories.create_schedule(engine)
    before = await schedule_edit.get(engine, made.schedule_id)
    for name, call in OF_SCHEDULES.items():
        with namespace.use(other):
            with pytest.raises(errors.ScheduleNotFound) as found:
                await call(engine, made.schedule_id)
            with pytest.raises(errors.ScheduleNotFound) as never:
                await call(engine, 4_000_000_000)
        assert str(found.value).replace(str(made.schedule_id), "") == str(never.value).replace("4000000000", ""), name
    assert await schedule_edit.get(engine, made.schedule_id) == before


async def test_schedules_of_two_namespaces_have_the_same_names_and_request_ids(engine: Engine, other: int) -> None:
    ours = await factories.create_schedule(engine, request_id="r")
    with namespace.use(other):
        theirs = await factories.create_schedule(engine, request_id="r")
        assert await factories.create_schedule(engine, request_id="r") == theirs
        assert await _schedules(engine) == [theirs.schedule_id]
        for wanted in (
            schedule_page.Filter(name="hourly"),
            schedule_page.Filter(queue=task.DEFAULT_QUEUE),
            schedule_page.Filter(is_paused=False),
        ):
            assert await _schedules(engine, wanted) == [theirs.schedule_id]
    assert await _schedules(engine) == [ours.schedule_id]


async def _schedules(engine: Engine, wanted: schedule_page.Filter | None = None) -> list[int]:
    found = await schedule_page.list_schedules(engine, wanted or schedule_page.Filter(), after=0, limit=9)
    return [each.schedule_id for each in found.schedules]


async def test_a_turn_advances_the_schedules_of_both_namespaces_each_within_its_own(engine: Engine, other: int) -> None:
    ours = await factories.create_schedule(engine)
    with namespace.use(other):
        theirs = await factories.create_schedule(engine)
    await _make_due(engine)
    turned = await schedule_advance.turn(engine, actor="worker")
    assert turned.count == 2
    assert {each.namespace_id for each in turned.tasks} == {namespace.DEFAULT, other}
    for namespace_id, made in ((namespace.DEFAULT, ours), (other, theirs)):
        with namespace.use(namespace_id):
            found = await read.list_tasks(engine, page.Filter(), order="task_id", after=None, limit=9)
            assert [each.schedule_id for each in found.tasks] == [made.schedule_id] * 2
            (claimed,) = await factories.claim(engine)
            assert claimed.schedule_id == made.schedule_id
            logged = await schedule_log.list_logs(engine, made.schedule_id, after=0, limit=9)
            assert [each.change for each in logged] == ["created"]
    assert await _namespaces(engine, "schedule_logs") == {namespace.DEFAULT, other}


async def _make_due(engine: Engine) -> None:
    await test_schedule_claims.shift(engine, HOUR / 2 + factories.SECOND)


async def _namespaces(engine: Engine, table: str) -> set[int]:
    async with engine.connect() as connection:
        return {*(await connection.execute(sa.text(f"SELECT DISTINCT namespace_id FROM {table}"))).scalars()}


async def test_a_schedule_that_cannot_be_advanced_holds_up_none_of_another_namespace(
    engine: Engine, other: int
) -> None:
    broken = await factories.create_schedule(engine)
    with namespace.use(other):
        await factories.create_schedule(engine)
    await _make_due(engine)
    async with engine.connect() as connection:
        await connection.execute(
            sa.text("UPDATE schedules SET overlap = 'unknown' WHERE schedule_id = :id"), {"id": broken.schedule_id}
        )
    turned = await schedule_advance.turn(engine, actor="worker")
    assert turned.count == 2
    assert {each.namespace_id for each in turned.tasks} == {other}


async def test_an_overlap_is_with_runs_of_the_schedule_alone(engine: Engine, other: int) -> None:
    with namespace.use(other):
        made = await factories.create_schedule(engine, overlap=schedule.Overlap.QUEUE)
        await _make_due(engine)
        await schedule_advance.turn(engine, actor="worker")
        (running,) = await factories.claim(engine)
        await test_schedule_claims.shift(engine, HOUR)
        await schedule_advance.turn(engine, actor="worker")
        upcoming = await schedule_edit.get(engine, made.schedule_id)
        assert upcoming.is_waiting
        assert (await explain.read(engine, upcoming.next_task_id or 0)).waits_for_run
    assert (await candidates.waiting(engine, 0)).schedule_ids == []
    await task_outcomes.record(engine, [factories.outcome(running)], worker_id="worker")
    assert (await candidates.waiting(engine, 0)).schedule_ids == [made.schedule_id]  # whatever its namespace


async def test_floors_of_next_tasks_are_raised_for_the_queue_of_its_namespace(engine: Engine, other: int) -> None:
    clock = [0.0]
    noting = floors.Floors([], lambda: clock[0])
    noting.advanced([(other, "mail")])
    clock[0] = 100.0
    await noting.note(engine)
    assert await _namespaces(engine, "next_floors") == {other}


async def test_schedules_of_another_namespace_are_not_recomputed(engine: Engine, other: int) -> None:
    await factories.create_schedule(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE schedules SET zone_version = 'old'"))
    with namespace.use(other):
        assert await recompute.recompute(engine, seconds=1, actor="api") == ([], False)
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT zone_version FROM schedules")) == "old"


LIMITED = {"max_running": 1, "max_running_per_key": 1, "max_per_second_per_key": 100.0}


async def test_a_queue_is_paused_and_limited_in_its_namespace(engine: Engine, other: int) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"is_paused": True}, is_new=True, actor="ada")
    await factories.create(engine)
    with namespace.use(other):
        task_id = await factories.create(engine)
        assert [each.task_id for each in await factories.claim(engine)] == [task_id]
        assert (await queue_read.get(engine, task.DEFAULT_QUEUE)).limits == queue.UNLIMITED
        with pytest.raises(errors.QueueNotFound):
            await queue_limit.list_logs(engine, "mail", after=0, limit=9)
        assert await queue_limit.list_logs(engine, task.DEFAULT_QUEUE, after=0, limit=9) == []
        await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 5}, is_new=True, actor="bob")
        assert [each.actor for each in await queue_limit.list_logs(engine, task.DEFAULT_QUEUE, after=0, limit=9)] == [
            "bob"
        ]
    assert await factories.claim(engine) == []
    assert (await queue_read.get(engine, task.DEFAULT_QUEUE)).limits.is_paused


async def test_runs_and_keys_of_another_namespace_use_up_no_limit(engine: Engine, other: int) -> None:
    for namespace_id in (namespace.DEFAULT, other):
        with namespace.use(namespace_id):
            await queue_limit.update(engine, task.DEFAULT_QUEUE, LIMITED, is_new=True, actor="api")
            for _ in range(2):
                await factories.create(engine, concurrency_key="ada")
    for namespace_id in (namespace.DEFAULT, other):
        with namespace.use(namespace_id):
            claimed = (await factories.claim_locked(engine)).tasks
            assert [each.namespace_id for each in claimed] == [namespace_id]
            assert (await factories.claim_locked(engine)).tasks == []
    assert await _namespaces(engine, "queue_keys") == {namespace.DEFAULT, other}


async def test_queues_and_workers_are_listed_in_their_namespace(engine: Engine, other: int) -> None:
    beat = worker.Heartbeat("w", ["served"], ["noop"], 8, 0, {})
    await workers.heartbeat(engine, beat)
    await handlers.announce(engine, {"mine": None}, is_first=True)
    for name in ("due", "urgent", "running"):
        await factories.create(engine, queue=name, priority=9 if name == "urgent" else 0)
    await factories.claim(engine, queue="running")
    with namespace.use(other):
        await factories.create(engine, queue="theirs")
        await handlers.announce(engine, {"mine": task.Retries(7)}, is_first=True)
        assert await queue_read.names(engine, limit=9) == ["theirs"]
        assert [each.name for each in await queue_read.list_queues(engine, after="", limit=9)] == ["theirs"]
        assert await workers.list_workers(engine, after="", limit=9) == []
        for name in ("due", "running", "served"):
            assert await queue_read.find(engine, name) is None
        await workers.remove(engine, "w")
    assert await queue_read.names(engine, limit=9) == ["due", "running", "served", "urgent"]
    assert [each.worker_id for each in await workers.list_workers(engine, after="", limit=9)] == ["w"]
    assert await handlers.read(engine) == {
        namespace.DEFAULT: {"mine": task.Retries()},
        other: {"mine": task.Retries(7)},
    }


async def test_a_worker_releases_the_lost_claims_of_one_namespace(engine: Engine, other: int) -> None:
    await factories.claimed(engine)
    with namespace.use(other):
        (theirs,) = await factories.claimed(engine)
        later = datetime.datetime.now(datetime.UTC) + HOUR
        released = await rescue.release(
            engine, worker_id="worker", queue=task.DEFAULT_QUEUE, held=[], claimed_before=later
        )
    assert [(each.task_id, each.namespace_id) for each in released] == [(theirs.task_id, other)]


async def test_lost_tasks_of_all_namespaces_are_reclaimed_and_keep_theirs(engine: Engine, other: int) -> None:
    (ours,) = await factories.claimed(engine)
    with namespace.use(other):
        (theirs,) = await factories.claimed(engine)
    await rows.expire_leases(engine)
    assert set(await rescue.reclaim(engine, worker_id="another")) == {ours.task_id, theirs.task_id}
    assert [each.task_id for each in await factories.claim(engine)] == [ours.task_id]
    with namespace.use(other):
        assert [each.task_id for each in await factories.claim(engine)] == [theirs.task_id]


async def test_keys_and_audit_events_are_of_their_namespace(engine: Engine, other: int) -> None:
    _, first = await keys.create(engine, keys.ADMIN)
    await keys.create(engine, keys.ADMIN)
    refusal = audit.Refusal(audit.Kind.PERMISSION_DENIED, "X", "bob", namespace_id=other)
    zero = datetime.timedelta(0)
    await audit_write.refused(engine, [audit.Refused(refusal, "GetTask", 1, zero, zero)])
    with namespace.use(other):
        token, theirs = await keys.create(engine, keys.ADMIN)
        assert theirs.principal().namespace_id == other
        assert await key_read.list_keys(engine, with_ended=True, after=0, limit=9) == [theirs]
        events = await audit_read.list_events(engine, audit.Filter(), before=None, limit=9)
        assert [each.kind for each in events] == [audit.Kind.KEY_CREATED, audit.Kind.PERMISSION_DENIED]
        for call in (
            key_read.get(engine, first.key_id),
            keys.rotate(engine, first.key_id),
            key_revoke.revoke(engine, first.key_id, revoker=None, actor="api"),
        ):
            with pytest.raises(errors.ApiKeyNotFound):
                await call
        with pytest.raises(errors.LastAdminKey):  # the admins of another namespace do not count
            await key_revoke.revoke(engine, theirs.key_id, revoker=None, actor="api")
    found = await key_read.find(engine, [first.key_id, token.key_id])
    assert {each.key.namespace_id for each in found.values()} == {namespace.DEFAULT, other}
    events = await audit_read.list_events(engine, audit.Filter(), before=None, limit=9)
    assert [each.kind for each in events] == [audit.Kind.KEY_CREATED] * 2
    with namespace.use(other):
        assert await key_create.ensure_first(engine, token, keys.ADMIN, actor="api")
