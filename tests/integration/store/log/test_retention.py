"""Retention deletes old finished tasks and old log rows, nothing else, and blocks nothing."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.model.snapshot import Position
from duetime_core.postgres import database, partition_changes
from duetime_core.store.log import feed, retention
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import log as schedule_log
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import history
from duetime_core.store.tasks import read as task_read
from tests.support import factories, logs, rows

Engine = sqlalchemy_asyncio.AsyncEngine
DAY = datetime.timedelta(days=1)
KEEP = 30 * DAY
OLD = KEEP + 3 * DAY
"""How old a task is whose partition, of two days, is wholly older than KEEP."""
LONG_AGO = 1000 * DAY
"""How old a task is that the default partition has."""


async def age(engine: Engine, by: datetime.timedelta) -> None:
    """Makes all tasks and log rows older by that."""
    await rows.age(engine, by)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE task_logs SET timestamp = timestamp - :by"), {"by": by})


async def delete_tasks(engine: Engine) -> int:
    """Drops old partitions, and deletes the old tasks of the default one; returns how many tasks these had."""
    total = 0
    while dropped := [count async for count in history.drop_oldest(engine, KEEP)]:
        total += sum(dropped)
    return total + sum([deleted async for deleted in history.delete_strays(engine, KEEP)])


async def remaining(engine: Engine) -> set[int]:
    return set(await rows.ids(engine))


async def test_old_finished_tasks_are_deleted_and_their_history_stays(engine: Engine) -> None:
    finished = [await factories.brought_to(engine, status) for status in sorted(task.FINISHED)]
    await age(engine, OLD)
    assert await delete_tasks(engine) == len(finished)
    assert await remaining(engine) == set()
    for task_id in finished:
        with pytest.raises(errors.TaskNotFound):
            await task_read.get(engine, task_id)
        assert (await factories.history(engine, task_id))[:2] == ["created", "started"]


async def test_pending_and_running_tasks_stay_however_old_they_are(engine: Engine) -> None:
    active = {await factories.brought_to(engine, status) for status in (task.Status.PENDING, task.Status.RUNNING)}
    await age(engine, 1000 * DAY)
    assert await delete_tasks(engine) == 0
    assert await remaining(engine) == active


async def test_tasks_that_changed_lately_stay_however_long_ago_they_were_due(engine: Engine) -> None:
    kept = set()
    for status in sorted(task.FINISHED):
        long_ago = datetime.datetime.now(datetime.UTC) - 1000 * DAY
        kept.add(await factories.brought_to(engine, status, execution_time=long_ago))
    await age(engine, KEEP - DAY)
    await rows.change(engine, "execution_time = '1999-01-01'")
    assert await delete_tasks(engine) == 0
    assert await remaining(engine) == kept


async def test_tasks_cancelled_before_they_were_due_are_deleted_too(engine: Engine) -> None:
    later = datetime.datetime.now(datetime.UTC) + 1000 * DAY
    cancelled, deleted = [await factories.create(engine, execution_time=later) for _ in range(2)]
    await task_edit.cancel(engine, cancelled, actor="api")
    await task_edit.delete(engine, deleted, actor="api")
    await age(engine, OLD)
    assert await delete_tasks(engine) == 2


async def test_a_task_that_was_retried_stays(engine: Engine) -> None:
    failed = await factories.brought_to(engine, task.Status.FAILED)
    await age(engine, OLD)
    await task_edit.retry(engine, failed, actor="api")
    assert await delete_tasks(engine) == 0


async def test_batches_continue_after_the_tasks_that_they_keep(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 3)
    old = [await factories.brought_to(engine, task.Status.COMPLETED) for _ in range(20)]
    await age(engine, LONG_AGO)
    kept = set(old[2:9])
    await rows.change(engine, "updated_at = now()", *kept)
    batches = [deleted async for deleted in history.delete_strays(engine, KEEP)]
    assert sum(batches) == 13
    assert max(batches) == 3
    assert await remaining(engine) == kept


async def test_an_interrupted_retention_is_completed_later(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 3)
    for _ in range(8):
        await factories.brought_to(engine, task.Status.FAILED)
    await age(engine, LONG_AGO)
    async for _ in history.delete_strays(engine, KEEP):
        break
    assert len(await remaining(engine)) == 5
    assert await delete_tasks(engine) == 5


async def test_an_interrupted_drop_of_a_partition_is_completed_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH", 3)
    for _ in range(8):
        await factories.brought_to(engine, task.Status.FAILED)
    await age(engine, 10 * DAY)  # while their partition exists
    read: list[int] = []
    while 3 not in read:  # of older partitions, all are empty
        read = []
        async for count in history.drop_oldest(engine, 5 * DAY):
            read.append(count)
            if count == 3:
                break
        assert read
    assert len(await remaining(engine)) == 8
    while dropped := [count async for count in history.drop_oldest(engine, 5 * DAY)]:
        read += dropped
    assert read == [3, 3, 3, 2, 0, *[0] * (len(read) - 5)]
    assert await remaining(engine) == set()


async def test_a_batch_waits_for_no_lock_and_blocks_nothing(engine: Engine) -> None:
    old = [await factories.brought_to(engine, task.Status.COMPLETED) for _ in range(3)]
    await age(engine, LONG_AGO)

    async def delete_strays() -> int:
        return sum([deleted async for deleted in history.delete_strays(engine, KEEP)])

    async with rows.locked(engine, old[0]):
        assert await delete_strays() == 2
    assert await remaining(engine) == {old[0]}
    async with database.transaction(engine) as connection:
        parameters = {"keep": KEEP, "after": 0, "limit": history.BATCH, "large_limit": history.LARGE_BATCH}
        assert (await connection.execute(history._DELETE_STRAYS, parameters)).one().tasks == 1
        async with asyncio.timeout(20):
            task_id = await factories.create(engine)
            assert [claimed.task_id for claimed in await factories.claim(engine)] == [task_id]
            # Another worker leaves the rest to this one.
            assert await delete_strays() == 0
    assert await remaining(engine) == {task_id}


async def test_a_request_id_is_kept_as_long_as_its_task(engine: Engine) -> None:
    new = factories.new_task(request_id="once")
    (first,) = await task_create.create(engine, [new], actor="api")
    assert isinstance(first, task_create.Created)
    await task_edit.cancel(engine, first.task_id, actor="api")
    await age(engine, OLD)
    await delete_tasks(engine)
    (second,) = await task_create.create(engine, [new], actor="api")
    assert isinstance(second, task_create.Created)
    assert second.is_new
    assert second.task_id > first.task_id


async def test_a_month_of_the_log_is_dropped_once_all_of_it_is_old(engine: Engine) -> None:
    now = datetime.datetime.now(datetime.UTC)
    months = await logs.months(engine)
    old = [await logs.add_month(engine, month) for month in (datetime.date(1999, 12, 1), datetime.date(2024, 2, 1))]
    keep = now - datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)
    assert await retention.drop_month(engine, keep + DAY) == old[0]
    assert await retention.drop_month(engine, keep + DAY) is None
    assert await retention.drop_month(engine, keep) == old[1]
    assert await retention.drop_month(engine, datetime.timedelta(hours=1)) is None
    assert await logs.months(engine) == months


async def test_a_month_that_a_reader_blocks_is_dropped_after_the_reader_has_ended(engine: Engine) -> None:
    old = await logs.add_month(engine, datetime.date(1999, 12, 1))
    async with logs.reading(engine):
        with pytest.raises(errors.LogBusy):
            await retention.drop_month(engine, KEEP)
    assert await retention.drop_month(engine, KEEP) == old


async def test_dropping_a_month_that_waits_for_a_reader_blocks_no_change(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_changes, "LOCK_TIMEOUT", datetime.timedelta(seconds=20))
    await logs.add_month(engine, datetime.date(1999, 12, 1))
    async with logs.reading(engine):
        dropping = asyncio.create_task(retention.drop_month(engine, KEEP))
        await logs.waits_for_a_lock(engine)
        async with asyncio.timeout(10):
            task_id = await factories.create(engine)
            assert [claimed.task_id for claimed in await factories.claim(engine)] == [task_id]
        assert not dropping.done()
    assert await dropping is not None


async def test_old_rows_of_the_default_partition_are_deleted_a_few_blocks_at_a_time(engine: Engine) -> None:
    insert = sa.text("""
        INSERT INTO task_logs (task_id, version, status, change, timestamp, execution_time, retry_count, actor)
        SELECT n, 1, 'pending', 'created', CASE n % 2 WHEN 0 THEN date '1999-01-01' ELSE date '2999-01-01' END,
            now(), 0, 'api'
        FROM generate_series(1, 10000) AS n
    """)
    async with engine.connect() as connection:
        await connection.execute(insert)
        batches = [deleted async for deleted in retention.delete_strays(engine, KEEP)]
        left = await connection.execute(sa.text("SELECT count(*), min(timestamp) > now() FROM task_logs_default"))
        assert tuple(left.one()) == (5000, True)
    assert sum(batches) == 5000
    assert max(batches) < 2500


async def forgotten(engine: Engine, position: Position) -> bool:
    try:
        await feed.resume(engine, position)
    except errors.InvalidArgument:
        return True
    return False


async def test_deleting_tasks_makes_no_position_too_old(engine: Engine) -> None:
    before = await feed.now(engine)
    task_id = await factories.brought_to(engine, task.Status.COMPLETED)
    queue = (await task_read.get(engine, task_id)).queue
    await age(engine, OLD)
    assert await delete_tasks(engine) == 1
    assert not await forgotten(engine, before)
    rows = (await feed.read(engine, before, namespace_id=None, limit=10)).entries
    assert [(entry.log.change, entry.log.queue) for entry in rows] == [
        (change, queue) for change in ("created", "started", "completed")
    ]


async def test_a_position_before_deleted_rows_is_too_old_and_a_later_one_is_not(engine: Engine) -> None:
    await factories.create(engine)
    after = await feed.now(engine)
    # Rows of the default partition.
    await factories.create(engine)
    later = await feed.now(engine)
    await age(engine, 1000 * DAY)
    assert sum([deleted async for deleted in retention.delete_strays(engine, KEEP)])
    assert await forgotten(engine, after)
    assert not await forgotten(engine, later)


async def test_a_position_before_a_dropped_month_is_too_old(engine: Engine) -> None:
    before = await feed.now(engine)
    await logs.add_month(engine, datetime.date(1999, 12, 1))
    after = await feed.now(engine)
    assert not await forgotten(engine, before)
    await retention.drop_month(engine, KEEP)
    assert await forgotten(engine, before)
    assert not await forgotten(engine, after)


async def test_old_rows_of_the_logs_of_schedules_and_queues_are_deleted(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    await queue_limit.update(engine, "mail", {"is_paused": True}, is_new=True, actor="api")
    async with engine.connect() as connection:
        for table in ("schedule_logs", "queue_logs"):
            await connection.execute(sa.text(f"UPDATE {table} SET timestamp = now() - interval '31 days'"))
    await schedule_edit.pause(engine, made.schedule_id, actor="api")
    await queue_limit.update(engine, "mail", {"is_paused": False}, is_new=True, actor="api")
    assert sum([deleted async for deleted in retention.delete_other_logs(engine, KEEP)]) == 2
    kept = await schedule_log.list_logs(engine, made.schedule_id, after=0, limit=10)
    assert [line.change for line in kept] == ["paused"]
    assert [line.change for line in await queue_limit.list_logs(engine, "mail", after=0, limit=10)] == ["resumed"]
