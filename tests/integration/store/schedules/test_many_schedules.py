"""Many schedules due in the same second start without delay."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.store.schedules import edit as schedule_edit
from tests.support import factories, processes, rows

pytestmark = pytest.mark.no_cover  # it measures time

SCHEDULES = 1_000
MOMENT = datetime.timedelta(seconds=30)
LATE = datetime.timedelta(seconds=1)
SLACK = datetime.timedelta(seconds=1)
"""What a busy machine with two cores may add."""


async def test_a_thousand_schedules_of_the_same_second_start_within_a_second(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter
) -> None:
    due = (datetime.datetime.now(datetime.UTC) + MOMENT).replace(microsecond=0)
    new = factories.new_schedule(spec={"cron": f"{due:%S %M %H} * * *"})
    for _ in range(SCHEDULES // 10):
        await asyncio.gather(*(schedule_edit.create(engine, new, actor="api") for _ in range(10)))
    await asyncio.gather(*(start.worker(concurrency=500) for _ in range(2)))
    assert datetime.datetime.now(datetime.UTC) < due, "the machine is too busy to be ready in time"
    late = sa.text("SELECT max(timestamp - execution_time) FROM task_logs WHERE change = 'started'")
    async with asyncio.timeout(MOMENT.total_seconds() + 20), engine.connect() as connection:
        while await rows.count(connection, "status = 'completed'") < SCHEDULES:  # noqa: ASYNC110 - it notifies nobody
            await asyncio.sleep(0.1)
        latest = await connection.scalar(late)
        upcoming = await rows.count(connection, "is_next")
    print(f"the last one started {latest.total_seconds():.3f} s late")  # noqa: T201 - a figure that is measured
    assert latest < LATE + SLACK
    assert upcoming == SCHEDULES
