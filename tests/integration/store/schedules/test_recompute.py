"""Recomputing schedules and tasks in local time while other sessions have some of them locked."""

import asyncio
import datetime
import time

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database
from duetime_core.process import patience
from duetime_core.store.schedules import recompute as schedule_recompute
from duetime_core.store.tasks import relocate
from tests.integration.store.schedules.test_odd_schedules import outdate
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)
DUE = datetime.datetime(2030, 7, 1, 8, tzinfo=datetime.UTC)
LOCAL = {"local_time": datetime.datetime(2030, 7, 1, 9), "time_zone": "Europe/Lisbon"}  # noqa: DTZ001


async def outdated(engine: Engine) -> set[int]:
    async with engine.connect() as connection:
        found = await connection.execute(sa.text("SELECT schedule_id FROM schedules WHERE zone_version = '2020a'"))
        return set(found.scalars())


async def schedules(engine: Engine, count: int) -> list[int]:
    made = [(await factories.create_schedule(engine, name=str(number))).schedule_id for number in range(count)]
    await outdate(engine)
    return made


@pytest.mark.parametrize("table", ["schedules", "waiting", "tasks"])
async def test_a_locked_schedule_delays_no_other_and_a_repeated_call_does_not_spin(engine: Engine, table: str) -> None:
    held, *_ = await schedules(engine, 3)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text(f"SELECT FROM {table} WHERE schedule_id = {held} FOR UPDATE"))
        began = time.monotonic()
        async with asyncio.timeout(7):  # a statement that waits for the row takes 8 s
            assert await schedule_recompute.recompute(engine, seconds=2.5, actor="api") == ([], True)
        assert time.monotonic() - began >= patience.SECONDS
        assert await outdated(engine) == {held}
    assert await schedule_recompute.recompute(engine, seconds=2.5, actor="api") == ([], False)
    assert await outdated(engine) == set()


async def test_a_schedule_that_is_locked_for_a_moment_is_recomputed_by_the_same_call(engine: Engine) -> None:
    held, *_ = await schedules(engine, 3)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT 1 FROM schedules WHERE schedule_id = :id FOR UPDATE"), {"id": held})
        recomputing = asyncio.create_task(schedule_recompute.recompute(engine, seconds=2.5, actor="api"))
        async with asyncio.timeout(5):
            while await outdated(engine) != {held}:  # noqa: ASYNC110 - PostgreSQL sends no notification
                await asyncio.sleep(0.001)
    assert await recomputing == ([], False)
    assert await outdated(engine) == set()


async def wrong_tasks(engine: Engine, count: int) -> list[int]:
    """Creates tasks whose local time an older time zone database placed an hour later."""
    return [await factories.create(engine, execution_time=DUE + HOUR, **LOCAL) for _ in range(count)]


@pytest.mark.parametrize("at_once", [1, 2, 500])
async def test_a_locked_task_in_local_time_delays_no_other_and_is_moved_once_it_is_free(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(relocate, "_AT_ONCE", at_once)
    task_ids = await wrong_tasks(engine, 5)
    held = task_ids[2]
    async with rows.locked(engine, held):
        began = time.monotonic()
        async with asyncio.timeout(7):
            moved, position, has_more = await relocate.recompute(engine, seconds=2.5, actor="api")
        assert time.monotonic() - began >= patience.SECONDS
        assert ([each.task_id for each in moved], has_more) == ([each for each in task_ids if each != held], True)
    moved, _, has_more = await relocate.recompute(engine, position, seconds=2.5, actor="api")
    assert ([each.task_id for each in moved], has_more) == ([held], False)


async def test_calls_without_time_for_all_tasks_come_back_to_a_locked_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relocate, "_AT_ONCE", 2)
    task_ids = await wrong_tasks(engine, 5)
    position, moved = None, []
    async with rows.locked(engine, task_ids[1]):
        for _ in range(2):
            found, position, has_more = await relocate.recompute(engine, position, seconds=0, actor="api")
            moved += found
            assert has_more
    while has_more:
        found, position, has_more = await relocate.recompute(engine, position, seconds=0, actor="api")
        moved += found
    assert [each.task_id for each in moved] == [*(each for each in task_ids if each != task_ids[1]), task_ids[1]]
