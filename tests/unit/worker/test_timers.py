"""When a worker polls a queue next, and when it calls idle workers."""

import asyncio
import datetime
import typing

from duetime_core.redis import doorbell, wakeup
from duetime_worker import timers
from tests.support import runs

QUEUE = "default"
NOW = runs.MOMENT
MS = datetime.timedelta(milliseconds=1)


class Bell:
    """A doorbell that keeps when it was armed for."""

    def __init__(self) -> None:
        self.armed: list[datetime.datetime] = []

    def arm(self, namespace_id: int, queue: str, due_at: datetime.datetime, *, now: datetime.datetime) -> None:
        self.armed.append(due_at)


def made() -> tuple[timers.Timers, Bell, asyncio.Queue[str]]:
    """Returns timers, their doorbell and the queues that they poll."""
    bell, polled = Bell(), asyncio.Queue[str]()
    return timers.Timers(typing.cast("doorbell.Doorbell", bell), polled.put_nowait), bell, polled


async def test_a_queue_is_polled_when_its_next_task_is_due_and_others_are_woken_a_slot_later() -> None:
    scheduled, bell, polled = made()
    scheduled.schedule(QUEUE, NOW + 5 * MS, now=NOW)
    assert bell.armed == [NOW + 5 * MS + wakeup.SLOT]
    assert await asyncio.wait_for(polled.get(), 10) == QUEUE


async def test_a_task_that_is_due_before_the_last_one_replaces_its_timer() -> None:
    scheduled, _, polled = made()
    scheduled.schedule(QUEUE, NOW + wakeup.HORIZON, now=NOW)
    scheduled.schedule(QUEUE, NOW, now=NOW)
    assert await asyncio.wait_for(polled.get(), 10) == QUEUE


async def test_tasks_beyond_the_horizon_are_left_to_the_sweep() -> None:
    scheduled, bell, _ = made()
    scheduled.schedule(QUEUE, NOW + wakeup.HORIZON + MS, now=NOW)
    assert bell.armed == []


async def test_a_call_that_is_too_soon_is_delayed_and_not_dropped() -> None:
    scheduled, bell, _ = made()
    for passed in (0, 10, 20, 150, 1000, -3_600_000):  # at last the clock is set back by an hour
        scheduled.call_idle_workers(QUEUE, NOW + passed * MS)
    assert bell.armed == [NOW + at * MS for at in (0, 100, 200, 1000, -3_600_000)]
