"""Many schedules due in the same second start without delay."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.store.schedules import edit as schedule_edit
from tests.integration.store.schedules.test_schedule_claims import shift
from tests.support import factories, processes, rows

pytestmark = pytest.mark.no_cover  # it measures time

SCHEDULES = 1_000
AHEAD = datetime.timedelta(seconds=5)
"""From when the workers are ready to the moment: they look at the clocks of schedules each second."""
LATE = datetime.timedelta(seconds=1)
SECOND = SLACK = datetime.timedelta(seconds=1)
"""What a busy machine with two cores may add."""


async def test_a_thousand_schedules_of_the_same_second_start_within_a_second(
    engine: sqlalchemy_asyncio.AsyncEngine, start: processes.Starter
) -> None:
    new = factories.new_schedule(spec={"interval": datetime.timedelta(days=365)})
    made = await schedule_edit.create(engine, new, actor="api")
    for _ in range(SCHEDULES // 9):
        await asyncio.gather(*(schedule_edit.create(engine, new, actor="api") for _ in range(9)))
    await asyncio.gather(*(start.worker(concurrency=500) for _ in range(2)))
    due = datetime.datetime.now(datetime.UTC) + AHEAD
    assert made.schedule.next_time is not None
    await shift(engine, made.schedule.next_time - due)
    assert datetime.datetime.now(datetime.UTC) < due - SECOND, "the machine is too busy to be ready in time"
    late = sa.text("SELECT max(timestamp - execution_time) FROM task_logs WHERE change = 'started'")
    async with asyncio.timeout(30), engine.connect() as connection:
        while await rows.count(connection, "status = 'completed'") < SCHEDULES:  # noqa: ASYNC110 - it notifies nobody
            await asyncio.sleep(0.1)
        latest = await connection.scalar(late)
        upcoming = await rows.count(connection, "is_next")
    print(f"the last one started {latest.total_seconds():.3f} s late")  # noqa: T201 - a figure that is measured
    assert latest < LATE + SLACK
    assert upcoming == SCHEDULES
