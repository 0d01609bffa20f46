"""Workers advance schedules by the schedules' clocks, with free slots or without."""

import asyncio
import datetime
import time
from collections.abc import Awaitable, Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import schedule, task
from duetime_core.postgres import database, schema
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.schedules import backfill as schedule_backfill
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import floors
from duetime_core.store.tasks import bulk_edit
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import page as task_page
from duetime_core.store.tasks import read as task_read
from tests.integration.store.schedules.test_odd_schedules import NO_ZONE, spoil
from tests.integration.store.schedules.test_schedule_claims import nominals, shift, skips
from tests.support import factories, invariants, processes, workers

Engine = sqlalchemy_asyncio.AsyncEngine
SECOND = datetime.timedelta(seconds=1)
HOUR = datetime.timedelta(hours=1)
EACH_SECOND = {"interval": SECOND}
_WAITS_FOR_A_LOCK = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def until(reached: Callable[[], Awaitable[bool]], *, seconds: float = 60) -> None:
    """Waits for a state of the database, which sends no notification."""
    async with asyncio.timeout(seconds):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def completed(engine: Engine, made: schedule.Schedule) -> int:
    return len((await nominals(engine, made)).get("completed", []))


async def is_current(engine: Engine, made: schedule.Schedule) -> bool:
    present = await schedule_edit.get(engine, made.schedule_id)
    return present.next_time is not None and present.next_time > datetime.datetime.now(datetime.UTC)


async def runs(engine: Engine, task_id: int) -> bool:
    return (await task_read.get(engine, task_id)).status is task.Status.COMPLETED


async def test_a_schedule_whose_next_thousand_times_are_taken_advances_and_ends_no_worker(
    engine: Engine, start: processes.Starter
) -> None:
    made = await factories.create_schedule(engine, spec=EACH_SECOND, catch_up=schedule.CatchUp.ALL)
    await shift(engine, 1_500 * SECOND)
    assert made.next_time is not None
    first = made.next_time - 1_500 * SECOND
    for begin in (first + SECOND, first + 800 * SECOND):
        filled = await schedule_backfill.backfill(
            engine, made.schedule_id, start_time=begin, end_time=begin + 700 * SECOND, actor="api"
        )
        assert len(filled) > 600
    other = await factories.create(engine)
    worker = await start.worker()
    await until(lambda: runs(engine, other))
    await until(lambda: is_current(engine, made))
    found = await nominals(engine, made)
    times = sorted(each for status in found for each in found[status])
    assert times == [first + number * SECOND for number in range(len(times))]
    worker.terminate()
    assert await worker.ended() == 0


async def test_a_schedule_without_task_ids_is_set_aside_and_keeps_nothing_from_running(
    engine: Engine, start: processes.Starter
) -> None:
    made = await factories.create_schedule(engine, spec={"interval": HOUR})
    await shift(engine, HOUR)
    other = await factories.create(engine)
    await use_ids(engine, schema.MAX_TASK_ID)
    worker = await start.worker()
    await until(lambda: runs(engine, other))

    async def is_set_aside() -> bool:
        present = await schedule_edit.get(engine, made.schedule_id)
        return present.advance_error is not None and "task ids" in present.advance_error

    await until(is_set_aside)
    await use_ids(engine, 1_000_000)
    await until(lambda: is_current(engine, made))
    present = await schedule_edit.get(engine, made.schedule_id)
    assert (present.advance_error, present.advance_failures) == (None, 0)
    worker.terminate()
    assert await worker.ended() == 0


async def use_ids(engine: Engine, last: int) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("SELECT setval('tasks_task_id_seq', :last)"), {"last": last})


async def test_unreadable_schedules_keep_no_other_from_starting_at_a_limit_of_one(
    engine: Engine, start: processes.Starter
) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 1}, is_new=True, actor="api")
    broken = [await factories.create_schedule(engine, name=f"broken {number}") for number in range(3)]
    sound = await factories.create_schedule(engine, name="sound")
    for each in broken:
        await spoil(engine, each, NO_ZONE)
    await shift(engine, HOUR)
    await start.worker(concurrency=1)

    async def has_run() -> bool:
        return await completed(engine, sound) == 1

    await until(has_run)
    present = await schedule_edit.get(engine, broken[0].schedule_id)
    assert present.advance_error is not None
    assert "Mars/Olympus" in present.advance_error


async def test_postponing_an_occurrence_does_not_stop_its_rule(engine: Engine, start: processes.Starter) -> None:
    made = await factories.create_schedule(engine, spec={"interval": 2 * SECOND})
    assert made.next_task_id is not None
    later = datetime.datetime.now(datetime.UTC) + 5 * HOUR
    await task_edit.update(engine, made.next_task_id, {"execution_time": later}, version=None, actor="api")
    await start.worker()

    async def has_run() -> bool:
        return await completed(engine, made) >= 2

    await until(has_run)
    postponed = await task_read.get(engine, made.next_task_id)
    assert (postponed.status, postponed.execution_time) == (task.Status.PENDING, later)
    assert await skips(engine, made) == []


async def test_moving_the_tasks_of_a_queue_does_not_stop_its_schedules(
    engine: Engine, start: processes.Starter
) -> None:
    made = await factories.create_schedule(engine, spec={"interval": 2 * SECOND})
    wanted = task_page.Filter(queue=task.DEFAULT_QUEUE, statuses=(task.Status.PENDING,))
    tomorrow = {"execution_time": datetime.datetime.now(datetime.UTC) + 24 * HOUR}
    progress = bulk_edit.Progress()
    moving = bulk_edit.change(
        engine, task.Change.UPDATED, wanted, changes=tomorrow, progress=progress, seconds=5, actor="api"
    )
    assert [len(batch) async for batch in moving] == [1]
    await start.worker()

    async def has_run() -> bool:
        return await completed(engine, made) >= 2

    await until(has_run)
    assert await skips(engine, made) == []


async def test_a_task_that_was_moved_forward_runs_at_once(engine: Engine, start: processes.Starter) -> None:
    made = await factories.create_schedule(engine, spec={"interval": HOUR})
    assert made.next_task_id is not None
    await start.worker()
    now = {"execution_time": datetime.datetime.now(datetime.UTC)}
    await task_edit.update(engine, made.next_task_id, now, version=None, actor="api")
    task_id = made.next_task_id
    await until(lambda: runs(engine, task_id))
    present = await schedule_edit.get(engine, made.schedule_id)
    assert (present.next_time, made.next_time) == ((made.next_time or now["execution_time"]) + HOUR, made.next_time)


async def test_an_occurrence_of_a_paused_queue_is_late_and_not_missed(engine: Engine, start: processes.Starter) -> None:
    made = await factories.create_schedule(engine, spec={"cron": "0 9 * * *"}, catch_up=schedule.CatchUp.NONE)
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"is_paused": True}, is_new=True, actor="api")
    assert made.next_time is not None
    await shift(engine, made.next_time - datetime.datetime.now(datetime.UTC) + SECOND)
    await start.worker()
    await until(lambda: is_current(engine, made))
    await shift(engine, 70 * SECOND)
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"is_paused": False}, is_new=False, actor="api")

    async def has_run() -> bool:
        return await completed(engine, made) == 1

    await until(has_run)
    assert await skips(engine, made) == []


@pytest.mark.no_cover
async def test_a_schedule_that_is_behind_catches_up_at_full_speed(engine: Engine, start: processes.Starter) -> None:
    behind = 600
    made = await factories.create_schedule(engine, spec=EACH_SECOND, catch_up=schedule.CatchUp.ALL)
    await shift(engine, behind * SECOND)
    await start.worker()
    began = time.monotonic()
    # One a second would never be current.
    await until(lambda: is_current(engine, made), seconds=60)
    print(f"{behind / (time.monotonic() - began):.0f} occurrences/s of one schedule")  # noqa: T201 - a figure

    async def all_have_run() -> bool:
        return await completed(engine, made) >= behind

    await until(all_have_run)
    assert await skips(engine, made) == []


async def test_schedules_advance_while_their_floors_cannot_be_raised(
    engine: Engine, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "_LIMIT_TIME", sa.text("SET LOCAL statement_timeout = '60 s'"))
    client = redis_client.connect(redis_url)
    bell = doorbell.Doorbell(client)
    advancing = workers.Worker(engine, bell, lease=factories.LEASE).runner.advancer
    made = await factories.create_schedule(engine, spec={"interval": HOUR})
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("INSERT INTO advance_floor VALUES (now() - interval '1 day')"))
    services: list[asyncio.Task[None]] = []

    async def waits() -> bool:
        return bool(await invariants.value(engine, _WAITS_FOR_A_LOCK))

    async def is_advanced() -> bool:
        return await is_current(engine, made)

    try:
        async with database.transaction(engine) as connection:
            await connection.execute(sa.text("SELECT FROM advance_floor FOR UPDATE"))
            services = background.start(advancing.run(), advancing.note_floors())
            await until(waits)
            await shift(engine, HOUR)
            await until(is_advanced)
            assert await waits()
    finally:
        await background.end(services)
        await bell.drain()
        await client.aclose(close_connection_pool=True)


async def test_an_occurrence_that_waits_starts_when_the_earlier_run_ends(
    engine: Engine, start: processes.Starter
) -> None:
    made = await factories.create_schedule(
        engine,
        spec=EACH_SECOND,
        overlap=schedule.Overlap.QUEUE,
        template={"name": "sleep", "task_data": {"seconds": 2.5}},
    )
    await start.worker()

    async def have_run() -> bool:
        return await completed(engine, made) >= 2

    await until(have_run)
    skipped = await skips(engine, made)
    assert len(skipped) >= 2
    assert all("overlap is queue" in (each.reason or "") for each in skipped)
    await schedule_edit.pause(engine, made.schedule_id, actor="api")
    found = await nominals(engine, made)
    times = [each for status in found for each in found[status]]
    logged = [each.nominal_time for each in await skips(engine, made)]
    both = sorted([*times, *logged])
    assert both == [both[0] + number * SECOND for number in range(len(both))]
