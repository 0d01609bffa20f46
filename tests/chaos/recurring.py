"""A load of schedules that are due each second, and callers that change them."""

import asyncio
import contextlib
import datetime
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal, TypeVar

import duetime_client
from duetime_client import errors
from tests.chaos import evidence, world

SCHEDULES = 10
SECOND = datetime.timedelta(seconds=1)
SETTLE_SECONDS = world.LEASE_SECONDS + 3 * world.SWEEP_SECONDS
_PAUSE_SECONDS = 0.15

_Answer = TypeVar("_Answer")


@contextlib.asynccontextmanager
async def running(target: str, *, catch_up: Literal["all", "last"] = "all") -> AsyncIterator[list[int]]:
    """Runs schedules each second during the block, and after it until they have caught up."""
    template = duetime_client.TaskTemplate("chaos", {"token": 0, "seconds": 0.02})
    async with duetime_client.AsyncClient(target) as client:
        made = [
            await client.create_schedule(f"schedule {number}", template, interval=SECOND, catch_up=catch_up)
            for number in range(SCHEDULES)
        ]
        schedule_ids = [each.schedule_id for each in made]
        yield schedule_ids
        await asyncio.sleep(SETTLE_SECONDS)
        for schedule_id in schedule_ids:
            await insist(lambda each=schedule_id: client.pause_schedule(each))  # type: ignore[misc]


@contextlib.asynccontextmanager
async def edited(target: str, schedule_ids: list[int], intervals: evidence.Intervals, seed: int) -> AsyncIterator[None]:
    """Changes the schedules at random during the block, and collects which interval each version has."""
    async with duetime_client.AsyncClient(target) as client:
        editor = _Editor(client, schedule_ids, intervals, random.Random(seed))
        editing = asyncio.create_task(editor.edit_on())
        yield
        editor.has_ended = True
        await editing
        await editor.resume_all()


class _Editor:
    """Changes one schedule at a time, as a caller with every right to it."""

    def __init__(
        self,
        client: duetime_client.AsyncClient,
        schedule_ids: list[int],
        intervals: evidence.Intervals,
        choose: random.Random,
    ) -> None:
        self.has_ended = False
        self._client = client
        self._schedule_ids = schedule_ids
        self._intervals = intervals
        self._choose = choose

    async def edit_on(self) -> None:
        """Makes changes until it is ended."""
        verbs = (self._set_interval, self._rename, self._pause_or_resume, self._postpone, self._cancel, self._delete)
        for schedule_id in self._schedule_ids:
            await self._look(schedule_id)
        await self._delete_schedule(self._schedule_ids.pop())
        while not self.has_ended:
            schedule_id = self._choose.choice(self._schedule_ids)
            found = await self._look(schedule_id)
            # Refused, if the occurrence has just started, or not answered.
            with contextlib.suppress(duetime_client.DuetimeError):
                await self._choose.choice(verbs)(found)
            await self._look(schedule_id)  # the one change since the last look, also if it was not answered
            await asyncio.sleep(self._choose.uniform(0, 2 * _PAUSE_SECONDS))

    async def resume_all(self) -> None:
        """Resumes the schedules that are paused."""
        for schedule_id in self._schedule_ids:
            await insist(lambda each=schedule_id: self._client.resume_schedule(each))  # type: ignore[misc]
            await self._look(schedule_id)

    async def _delete_schedule(self, schedule_id: int) -> None:
        with contextlib.suppress(errors.ScheduleNotFound):  # by the call before, which was not answered
            await insist(lambda: self._client.delete_schedule(schedule_id))

    async def _look(self, schedule_id: int) -> duetime_client.Schedule:
        found = await insist(lambda: self._client.get_schedule(schedule_id))
        assert found.interval is not None
        self._intervals[schedule_id, found.version] = found.interval
        return found

    async def _set_interval(self, found: duetime_client.Schedule) -> None:
        await self._client.update_schedule(found.schedule_id, interval=SECOND * self._choose.randint(1, 3))

    async def _rename(self, found: duetime_client.Schedule) -> None:
        await self._client.update_schedule(found.schedule_id, name=f"{found.schedule_id}, {self._choose.random()}")

    async def _pause_or_resume(self, found: duetime_client.Schedule) -> None:
        change = self._client.resume_schedule if found.paused else self._client.pause_schedule
        await change(found.schedule_id)

    async def _postpone(self, found: duetime_client.Schedule) -> None:
        until = datetime.timedelta(seconds=self._choose.uniform(0, 3))
        await self._client.update(found.next_task_id, execution_time=until)

    async def _cancel(self, found: duetime_client.Schedule) -> None:
        await self._client.cancel(found.next_task_id)

    async def _delete(self, found: duetime_client.Schedule) -> None:
        await self._client.delete(found.next_task_id)


async def insist(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Retries the call until it succeeds, because a fault may interfere."""
    while True:
        try:
            return await call()
        except (errors.Unavailable, errors.DeadlineExceeded):
            await asyncio.sleep(_PAUSE_SECONDS)
