"""Tasks of two namespaces at the store: neither sees, changes or occupies anything of the other."""

import asyncio
import contextvars
import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, namespace, task
from duetime_core.store.claiming import fast
from duetime_core.store.log import feed, statistics
from duetime_core.store.tasks import bulk_edit, edit, explain, page, read, relocate
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)

READS: dict[str, Callable[[Engine, int], Awaitable[Any]]] = {
    "get": read.get,
    "status": read.get_status,
    "logs": lambda engine, task_id: read.list_logs(engine, task_id, after_version=0, limit=9),
    "watch": lambda engine, task_id: feed.read_task(engine, task_id, after_version=0, limit=9),
    "explain": explain.read,
    "update": lambda engine, task_id: edit.update(engine, task_id, {"priority": 9}, version=None, actor="api"),
    "cancel": lambda engine, task_id: edit.cancel(engine, task_id, actor="api"),
    "retry": lambda engine, task_id: edit.retry(engine, task_id, actor="api"),
    "delete": lambda engine, task_id: edit.delete(engine, task_id, actor="api"),
}


@pytest.mark.parametrize("status", list(task.Status))
async def test_a_task_of_another_namespace_is_as_one_that_never_was(
    engine: Engine, other: int, status: task.Status
) -> None:
    task_id = await factories.brought_to(engine, status)
    before = await rows.read(engine, "*")
    for name, call in READS.items():
        with namespace.use(other):
            with pytest.raises(errors.TaskNotFound) as found:
                await call(engine, task_id)
            with pytest.raises(errors.TaskNotFound) as never:
                await call(engine, 4_000_000_000)
        assert str(found.value).replace(str(task_id), "") == str(never.value).replace("4000000000", ""), name
    with namespace.use(other):
        assert await read.creator(engine, task_id) is None
    assert await rows.read(engine, "*") == before
    assert (await read.get(engine, task_id)).namespace_id == namespace.DEFAULT


FILTERS: dict[str, page.Filter] = {
    "all": page.Filter(),
    "queue": page.Filter(queue="mail"),
    "name": page.Filter(name="noop"),
    "prefix": page.Filter(name_prefix="no"),
    "key": page.Filter(concurrency_key="ada"),
    "schedule": page.Filter(schedule_id=7),
    "request": page.Filter(request_id="r"),
    "due": page.Filter(due_from=datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)),
    **{str(status): page.Filter(statuses=(status,)) for status in task.Status},
}


async def _one_of_each(engine: Engine) -> set[int]:
    """Creates a task of each status, all in one queue with one name and key."""
    made = set()
    for status in task.Status:
        request_id = "r" if status is task.Status.PENDING else None
        made.add(await factories.brought_to(engine, status, concurrency_key="ada", request_id=request_id))
    await rows.change(engine, "queue = 'mail', schedule_id = 7", *made)
    return made


@pytest.mark.parametrize("order", ["execution_time", "execution_time desc", "task_id", "task_id desc"])
async def test_lists_have_the_tasks_of_their_namespace(engine: Engine, other: int, order: page.Order) -> None:
    ours = await _one_of_each(engine)
    with namespace.use(other):
        theirs = await _one_of_each(engine)
    for name, wanted in FILTERS.items():
        listed = await _listed(engine, wanted, order)
        with namespace.use(other):
            theirs_listed = await _listed(engine, wanted, order)
        assert listed <= ours, name
        assert theirs_listed <= theirs, name
        assert listed, name
        assert theirs_listed, name


async def _listed(engine: Engine, wanted: page.Filter, order: page.Order) -> set[int]:
    await read.require_few_names(engine, wanted, order=order, field="name_prefix")
    found = await read.list_tasks(engine, wanted, order=order, after=None, limit=100)
    assert found.is_last
    return {each.task_id for each in found.tasks}


async def test_names_of_another_namespace_do_not_count(engine: Engine, other: int) -> None:
    for name in ("a1", "a2", "a3"):
        await factories.create(engine, name=name)
    with namespace.use(other):
        await factories.create(engine, name="a4")
        (count,) = await _count_names(engine)
    assert count == 1


async def _count_names(engine: Engine) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.execute(page.COUNT_NAMES, {"name_prefix": "a"})).scalars())


@pytest.mark.parametrize("what", [task.Change.CANCELLED, task.Change.DELETED, task.Change.RETRIED, task.Change.UPDATED])
async def test_a_change_of_all_tasks_changes_those_of_its_namespace(
    engine: Engine, other: int, what: task.Change
) -> None:
    await _one_of_each(engine)
    before = await rows.read(engine, "*")
    with namespace.use(other):
        theirs = await _one_of_each(engine)
        progress = bulk_edit.Progress()
        wanted = page.Filter(statuses=tuple(task.MOVES[what].sources))
        changes = {"queue": "moved"} if what is task.Change.UPDATED else None
        changed = [
            each
            async for batch in bulk_edit.change(
                engine, what, wanted, changes=changes, progress=progress, seconds=5, actor="api"
            )
            for each in batch
        ]
    assert progress.count == len(changed) > 0
    assert {each.task_id for each in changed} <= theirs
    assert {each.namespace_id for each in changed} == {other}
    assert await rows.read(engine, "*", f"namespace_id = {namespace.DEFAULT}") == before


async def test_a_request_id_is_that_of_one_namespace(engine: Engine, other: int) -> None:
    ours = await factories.create(engine, request_id="r", name="ours")
    with namespace.use(other):
        theirs = await factories.create(engine, request_id="r", name="theirs")
        (all_or_none,) = await task_create.create_all(
            engine, [factories.new_task(request_id="s", name="theirs")], actor="api"
        )
        with pytest.raises(errors.RequestIdReused, match=f"task {theirs} "):
            await task_create.create_all(engine, [factories.new_task(request_id="r", name="x")], actor="api")
    assert ours != theirs
    assert await factories.create(engine, request_id="s", name="ours") != all_or_none.task_id


async def test_calls_of_two_namespaces_share_a_commit_and_nothing_else(engine: Engine, other: int) -> None:
    when = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    new = factories.new_task(request_id="r", execution_time=when)
    callers = [
        task_create.Caller(namespace.DEFAULT, "ada"),
        task_create.Caller(other, "bob"),
        task_create.Caller(other, "eve"),
    ]
    first, second, repeated = await task_create.create(engine, [new, new, new], actor=callers)
    assert all(isinstance(each, task_create.Created) for each in (first, second, repeated))
    again = await task_create.create(engine, [new, new], actor=callers[:2])
    created = [each for each in (first, second, repeated, *again) if isinstance(each, task_create.Created)]
    assert [(each.namespace_id, each.is_new) for each in created] == [
        (namespace.DEFAULT, True),
        (other, True),
        (other, False),
        (namespace.DEFAULT, False),
        (other, False),
    ]
    assert len({each.task_id for each in created}) == 2
    assert await read.creator(engine, created[0].task_id) == "ada"
    with namespace.use(other):
        assert await read.creator(engine, created[1].task_id) == "bob"


async def test_one_worker_records_the_outcomes_of_two_namespaces_at_once(engine: Engine, other: int) -> None:
    (ours,) = await factories.claimed(engine, request_id="r")
    with namespace.use(other):
        theirs, released = await factories.claimed(engine, 2)
    assert {each.namespace_id for each in (theirs, released)} == {other}
    outcomes = [
        factories.outcome(ours),
        factories.outcome(theirs, task.Change.FAILED, error_message="no"),
        factories.outcome(released, task.Change.RELEASED),
    ]
    recorded = await task_outcomes.record(engine, outcomes, worker_id="worker")
    assert [each.namespace_id for each in recorded.pending] == [other]
    assert (await read.get(engine, ours.task_id)).status is task.Status.COMPLETED
    with namespace.use(other):
        assert (await read.get(engine, theirs.task_id)).status is task.Status.FAILED
        assert await factories.history(engine, released.task_id) == ["created", "started", "released"]
        await edit.retry(engine, theirs.task_id, actor="api")
        again = await factories.claim(engine)
    assert {each.task_id for each in again} == {theirs.task_id, released.task_id}


async def test_an_explanation_counts_the_runs_and_workers_of_its_namespace(engine: Engine, other: int) -> None:
    await factories.claimed(engine, 3, concurrency_key="ada")
    with namespace.use(other):
        task_id = await factories.create(engine, concurrency_key="ada")
        facts = await explain.read(engine, task_id)
    assert (facts.running, facts.running_of_key, facts.workers) == (0, 0, [])


async def test_the_feed_has_the_rows_of_the_namespace_that_is_asked_for(engine: Engine, other: int) -> None:
    position = await feed.now(engine)
    ours = await factories.create(engine)
    with namespace.use(other):
        theirs = await factories.create(engine)
    found = {}
    for namespace_id in (None, namespace.DEFAULT, other):
        read_page = await feed.read(engine, position, namespace_id=namespace_id, limit=10)
        found[namespace_id] = [(each.log.task_id, each.namespace_id) for each in read_page.entries]
        assert read_page.is_last
    of_ours, of_theirs = (ours, namespace.DEFAULT), (theirs, other)
    assert found == {None: [of_ours, of_theirs], namespace.DEFAULT: [of_ours], other: [of_theirs]}


async def test_statistics_count_the_runs_of_their_namespace(engine: Engine, other: int) -> None:
    claimed = await factories.claimed(engine, 2)
    await task_outcomes.record(engine, [factories.outcome(each) for each in claimed], worker_id="worker")
    with namespace.use(other):
        (theirs,) = await factories.claimed(engine)
        await task_outcomes.record(engine, [factories.outcome(theirs)], worker_id="worker")
        now = datetime.datetime.now(datetime.UTC)
        found = await statistics.read(engine, start=now - HOUR, end=now + HOUR, unit="hour", zone="UTC")
        assert await statistics.requested_time(engine, claimed[0].task_id) is None
    assert (found.total.ran, found.total.succeeded) == (1, 1)
    assert [each.task_id for each in found.slowest] == [theirs.task_id]


async def test_tasks_in_local_time_of_another_namespace_are_not_recomputed(engine: Engine, other: int) -> None:
    local = datetime.datetime(2100, 1, 1)  # noqa: DTZ001
    wrong = datetime.datetime(2100, 6, 1, tzinfo=datetime.UTC)
    task_id = await factories.create(engine, execution_time=wrong, local_time=local, time_zone="UTC")
    with namespace.use(other):
        moved, _, _ = await relocate.recompute(engine, seconds=1, actor="api")
    assert moved == []
    moved, _, _ = await relocate.recompute(engine, seconds=1, actor="api")
    assert [each.task_id for each in moved] == [task_id]


async def test_quarantined_tasks_are_claimed_within_their_namespace(engine: Engine, other: int) -> None:
    task_id = await factories.create(engine)
    await rows.change(engine, "lost_leases = 2", task_id)
    with namespace.use(other):
        assert await factories.claim_quarantined(engine) == []
    assert [each.task_id for each in await factories.claim_quarantined(engine)] == [task_id]


async def test_nothing_of_a_namespace_is_read_outside_any(engine: Engine) -> None:
    calls = [
        read.get(engine, 1),
        fast.claim(engine, queue="q", worker_id="w", limit=1, lease=factories.LEASE),
        task_create.create(engine, [factories.new_task()], actor="api"),
    ]
    for call in calls:
        with pytest.raises(namespace.NoNamespaceError):
            await asyncio.create_task(call, context=contextvars.Context())
    assert await rows.count(engine) == 0
