"""A load of schedules that are due each second."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator

import duetime_client
from tests.chaos import world

SCHEDULES = 10
SECOND = datetime.timedelta(seconds=1)
SETTLE_SECONDS = world.LEASE_SECONDS + 3 * world.SWEEP_SECONDS


@contextlib.asynccontextmanager
async def running(target: str) -> AsyncIterator[list[int]]:
    """Runs schedules each second during the block, and after it until they have caught up."""
    template = duetime_client.TaskTemplate("chaos", {"token": 0, "seconds": 0.02})
    async with duetime_client.AsyncClient(target) as client:
        made = [
            await client.create_schedule(f"schedule {number}", template, interval=SECOND, catch_up="all")
            for number in range(SCHEDULES)
        ]
        schedule_ids = [each.schedule_id for each in made]
        yield schedule_ids
        await asyncio.sleep(SETTLE_SECONDS)
        for schedule_id in schedule_ids:
            await client.pause_schedule(schedule_id)
