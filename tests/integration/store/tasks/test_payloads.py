"""Large task_data is in `payloads`: it is always read with its task, and is not written again when the task ends."""

import asyncio
import datetime
import json
import random
from collections.abc import Iterator
from typing import Any

import alembic.command
import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors, task
from duetime_core.postgres import database, namespaced
from duetime_core.store.claiming import bounds, fast, rescue, statements
from duetime_core.store.schedules import backfill, trigger
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import bulk_edit, create, edit, edits, outcomes, page, payloads, read
from tests.support import factories, plans

Engine = sqlalchemy_asyncio.AsyncEngine
SMALL: dict[str, Any] = {"n": 1}
LARGE: dict[str, Any] = {"text": random.Random(1).randbytes(50_000).hex()}
OTHER: dict[str, Any] = {"text": "x" * 10_000}

_STORED = sa.text("SELECT task_id FROM payloads ORDER BY task_id")


async def stored(engine: Engine) -> list[int]:
    """Returns the tasks that have a row in `payloads`."""
    async with engine.connect() as connection:
        return list((await connection.execute(_STORED)).scalars())


async def listed(engine: Engine) -> dict[int, dict[str, Any]]:
    """Returns the task_data of all tasks, by id."""
    found = await read.list_tasks(engine, page.Filter(), order="task_id", after=None, limit=100)
    return {each.task_id: each.task_data for each in found.tasks}


@pytest.mark.parametrize("status", task.Status)
async def test_a_task_of_any_status_has_its_large_task_data(engine: Engine, status: task.Status) -> None:
    task_id = await factories.brought_to(engine, status, task_data=LARGE)
    assert (await read.get(engine, task_id)).task_data == LARGE
    assert await listed(engine) == {task_id: LARGE}
    assert await stored(engine) == [task_id]


@pytest.mark.parametrize("size", [1_900, 1_999, 2_000, 2_001, 2_100, 9_000, 200_000])
async def test_task_data_of_every_size_is_read_as_it_was_given(engine: Engine, size: int) -> None:
    data = {"text": "x" * size}
    task_id = await factories.create(engine, task_data=data)
    (claimed,) = await factories.claim(engine)
    assert claimed.task_data == (await read.get(engine, task_id)).task_data == data
    assert await stored(engine) == ([task_id] if size > payloads.MOST_INLINE - 50 and size > 1_990 else [])


async def test_a_batch_stores_the_large_ones_alone_and_those_it_does_not_create_not_at_all(engine: Engine) -> None:
    first = await factories.create(engine, task_data=LARGE, request_id="once")
    new = [
        factories.new_task(task_data=data, request_id=request_id)
        for data, request_id in ((SMALL, None), (LARGE, "once"), (OTHER, "another"))
    ]
    made = await create.create(engine, new, actor="api")
    ids = [each.task_id for each in made if isinstance(each, create.Created)]
    assert len(ids) == 2
    assert await stored(engine) == [first, ids[1]]
    assert await listed(engine) == {first: LARGE, ids[0]: SMALL, ids[1]: OTHER}


async def test_an_update_from_small_to_large_and_back_is_read_everywhere(engine: Engine) -> None:
    task_id = await factories.create(engine, task_data=SMALL)
    for data in (LARGE, OTHER, SMALL, LARGE, SMALL):
        changed, _ = await edit.update(engine, task_id, {"task_data": data}, version=None, actor="api")
        assert changed.task_data == data
        assert await read.get(engine, task_id) == changed
        assert await stored(engine) == [task_id]
    (claimed,) = await factories.claim(engine)
    assert claimed.task_data == SMALL
    await outcomes.record(engine, [factories.outcome(claimed)], worker_id="worker", lease_ids=[])
    assert (await read.get(engine, task_id)).task_data == SMALL


async def test_each_change_of_one_task_returns_its_large_task_data(engine: Engine) -> None:
    task_id = await factories.create(engine, task_data=LARGE)
    updated, _ = await edit.update(engine, task_id, {"name": "renamed"}, version=1, actor="api")
    cancelled, _ = await edit.cancel(engine, task_id, actor="api")
    again, _ = await edit.cancel(engine, task_id, actor="api")
    retried, _ = await edit.retry(engine, task_id, actor="api")
    (running,) = await factories.claim(engine)
    stopped, _ = await edit.cancel(engine, task_id, actor="api")
    assert {each.version for each in (updated, cancelled, again, retried, running, stopped)} == {2, 3, 4, 5, 6}
    assert all(each.task_data == LARGE for each in (updated, cancelled, again, retried, running, stopped))
    await edit.delete(engine, task_id, actor="api")
    with pytest.raises(errors.TaskNotFound):
        await read.get(engine, task_id)
    assert await stored(engine) == [task_id]  # as the deleted task: until retention


async def test_changes_of_many_tasks_keep_large_task_data(engine: Engine) -> None:
    ids = [await factories.create(engine, task_data=data) for data in (LARGE, SMALL, OTHER)]
    for what, statuses, changes in (
        (task.Change.UPDATED, (task.Status.PENDING,), {"queue": "moved"}),
        (task.Change.CANCELLED, (task.Status.PENDING,), None),
        (task.Change.RETRIED, (task.Status.CANCELLED,), None),
    ):
        progress, wanted = bulk_edit.Progress(), page.Filter(statuses=statuses)
        changing = bulk_edit.change(engine, what, wanted, changes=changes, progress=progress, seconds=9, actor="api")
        assert sum([len(batch) async for batch in changing]) == progress.count == 3
        assert list((await listed(engine)).values()) == [LARGE, SMALL, OTHER]
    assert {each.task_id: each.task_data for each in await factories.claim(engine, queue="moved")} == dict(
        zip(ids, (LARGE, SMALL, OTHER), strict=True)
    )


async def test_a_retry_and_a_lost_lease_keep_large_task_data(engine: Engine) -> None:
    await factories.create(engine, task_data=LARGE)
    (claimed,) = await factories.claim(engine)
    failed = factories.outcome(claimed, task.Change.RETRY_SCHEDULED, backoff=datetime.timedelta(0))
    await outcomes.record(engine, [failed], worker_id="worker")
    (claimed,) = await factories.claim(engine, lease=datetime.timedelta(0))
    assert (claimed.retry_count, claimed.task_data) == (1, LARGE)
    assert await rescue.reclaim(engine, worker_id="worker") == [claimed.task_id]
    (claimed,) = await factories.claim(engine)
    assert (claimed.retry_count, claimed.task_data) == (2, LARGE)


async def test_large_task_data_that_an_earlier_release_stored_in_tasks_is_read_and_changed(engine: Engine) -> None:
    task_id = await factories.create(engine, task_data=SMALL)
    async with engine.connect() as connection:
        inline = sa.text("UPDATE tasks SET task_data = CAST(:data AS jsonb)")
        await connection.execute(inline, {"data": json.dumps(LARGE)})
    assert await listed(engine) == {task_id: LARGE}
    assert (await edit.update(engine, task_id, {"priority": 1}, version=1, actor="api"))[0].task_data == LARGE
    assert await stored(engine) == []
    assert (await edit.update(engine, task_id, {"task_data": OTHER}, version=2, actor="api"))[0].task_data == OTHER
    assert await listed(engine) == {task_id: OTHER}
    assert await stored(engine) == [task_id]


async def test_schedules_give_their_large_task_data_to_each_task_and_change_it(engine: Engine) -> None:
    made = await factories.create_schedule(engine, template={"task_data": LARGE})
    assert made.next_task_id is not None
    await trigger.trigger(engine, made.schedule_id, request_id=None, actor="api")
    now = datetime.datetime.now(datetime.UTC)
    await backfill.backfill(
        engine, made.schedule_id, start_time=now - 3 * factories.SECOND * 3600, end_time=now, actor="api"
    )
    found = await listed(engine)
    assert len(found) == 5
    assert set(found) == set(await stored(engine))
    assert all(data == LARGE for data in found.values())
    # What the schedule gave is replaced, what a caller gave is kept.
    template = factories.new_schedule(template={"task_data": OTHER}).template
    await schedule_edit.update(engine, made.schedule_id, {"template": template}, version=None, actor="api")
    assert (await read.get(engine, made.next_task_id)).task_data == OTHER
    await edit.update(engine, made.next_task_id, {"task_data": SMALL}, version=None, actor="api")
    before = await read.get(engine, made.next_task_id)
    template = factories.new_schedule(template={"task_data": LARGE}).template
    await schedule_edit.update(engine, made.schedule_id, {"template": template}, version=None, actor="api")
    assert await read.get(engine, made.next_task_id) == before


async def waits(connection: sqlalchemy_asyncio.AsyncConnection) -> None:
    """Waits until another session waits for a lock."""
    async with asyncio.timeout(10):
        while not await connection.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the database signals nothing


async def test_a_claim_in_progress_never_runs_with_the_task_data_of_another_version(engine: Engine) -> None:
    # The claim's snapshot is from before the update's commit, and its look at `waiting` from after it.
    gate = statements.claim(
        statements.due_ordinary(where="AND (SELECT true FROM gate)"),
        before="gate AS MATERIALIZED (SELECT pg_advisory_xact_lock(14)),",
    )
    parameters = {
        "queue": "default",
        "worker_id": "worker",
        "limit": 9,
        "lease": factories.LEASE,
        **bounds.Bounds().parameters,
    }
    task_id = await factories.create(engine, task_data=LARGE)
    assignments, given = edits.assigning({"task_data": OTHER})
    updating = edits.of_updated(assignments, "{}.task_id = :task_id", "FOR UPDATE", has_task_data=True)
    async with engine.connect() as watching, engine.connect() as claiming, engine.connect() as holder:
        await holder.execute(sa.text("SELECT pg_advisory_lock(14)"))
        async with database.transaction(engine) as updater:
            update = namespaced.text(f"WITH {updating} SELECT 1")
            await updater.execute(update, {**given, "task_id": task_id, "actor": "api"})
            claim = asyncio.create_task(claiming.execute(gate, parameters))
            await waits(watching)
        await holder.execute(sa.text("SELECT pg_advisory_unlock(14)"))
        rows = (await claim).all()
        (claimed,) = await fast.read_claimed(claiming.execute, rows, parameters)
    assert rows[0].version == 1  # a stale read
    assert (claimed.version, claimed.task_data) == (3, OTHER)


async def test_an_update_that_waited_for_another_returns_the_task_data_of_now(engine: Engine) -> None:
    task_id = await factories.create(engine, task_data=LARGE)
    assignments, given = edits.assigning({"task_data": OTHER})
    updating = edits.of_updated(assignments, "{}.task_id = :task_id", "FOR UPDATE", has_task_data=True)
    async with engine.connect() as watching:
        async with database.transaction(engine) as first:
            update = namespaced.text(f"WITH {updating} SELECT 1")
            await first.execute(update, {**given, "task_id": task_id, "actor": "api"})
            second = asyncio.create_task(edit.update(engine, task_id, {"priority": 3}, version=None, actor="api"))
            await waits(watching)
        changed, _ = await second
    assert (changed.version, changed.priority, changed.task_data) == (3, 3, OTHER)


async def test_the_table_of_the_release_before_gets_large_task_data_back(engine: Engine) -> None:
    await factories.brought_to(engine, task.Status.COMPLETED, task_data=LARGE)
    for data in (OTHER, SMALL):
        await factories.create(engine, task_data=data)
    before = await listed(engine)
    async with database.transaction(engine) as connection:
        await connection.run_sync(lambda sync: alembic.command.downgrade(migrate.config(sync), "0017"))
        found = await connection.execute(sa.text("SELECT task_id, task_data FROM tasks"))
        assert {row.task_id: row.task_data for row in found} == before
    await migrate.upgrade(engine)
    assert await listed(engine) == before


async def test_a_finish_touches_as_many_blocks_with_large_task_data_as_with_small(engine: Engine) -> None:
    touched = {}
    for name, data in (("small", SMALL), ("large", LARGE)):
        for _ in range(20):
            await factories.create(engine, task_data=data, queue=name)
        claimed = await factories.claim(engine, queue=name)
        encoded = outcomes._encode([factories.outcome(each) for each in claimed])
        parameters = {**encoded, "worker_id": "worker", "lease_ids": "{}"}
        async with engine.connect() as connection:
            touched[name] = plans.buffers(
                await plans.explain(connection, "force_generic_plan", outcomes._RECORD, parameters)
            )
    assert touched["large"] < 2 * touched["small"]


async def test_small_tasks_cost_no_look_up(engine: Engine) -> None:
    task_id = await factories.brought_to(engine, task.Status.COMPLETED, task_data=SMALL)
    await factories.create(engine, task_data=SMALL)
    async with engine.connect() as connection:
        got = await plans.explain(connection, "force_generic_plan", sa.text(read.GET), {"task_id": task_id})
        parameters = {
            "queue": "default",
            "worker_id": "w",
            "limit": 9,
            "lease": "1 second",
            **bounds.Bounds().parameters,
        }
        claimed = await plans.explain(connection, "force_generic_plan", fast._CLAIM, parameters)
    for plan in (got, claimed):
        looks = list(nodes_of(plan, "payloads"))
        assert looks
        assert all(each["Actual Loops"] == 0 for each in looks)


def nodes_of(plan: dict[str, Any], table: str) -> Iterator[dict[str, Any]]:
    """Yields the nodes that read a table."""
    if plan.get("Relation Name") == table:
        yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child, table)
