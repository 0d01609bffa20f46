"""The advancer: it advances schedules that are due, whatever their queue, with free slots or without."""

import asyncio
import contextlib
import datetime
import random
from collections.abc import Callable, Collection, Sequence

from duetime_core.model import errors, namespace, task
from duetime_core.store.schedules import advance, candidates, floors
from duetime_worker import context

INTERVAL_SECONDS = 1.0
"""Without a timer or a nudge, it looks each second."""
_MARGIN_SECONDS = 0.0005
_NUDGE_SECONDS = 0.1
"""The least time from a nudge that found nothing to the next look: claims see a waiting occurrence again and again."""


class Advancer:
    """Advances schedules in turns, while there is something to advance."""

    def __init__(self, here: context.Context, queues: Sequence[str], poll: Callable[[str], None]) -> None:
        self._here = here
        self._queues = queues
        self._poll = poll
        self._woken = asyncio.Event()
        self._is_nudged = False
        self._ended: set[int] = set()
        self._after = 0  # how far the look at waiting schedules has come
        self._positions: dict[str, candidates.Position] = {}  # and the look at moved tasks
        self._floors = floors.Floors(queues)
        self._quiet_until = 0.0
        self._due_at: datetime.datetime | None = None

    def nudge(self) -> None:
        """Has it look soon: a claim found that a next occurrence is due."""
        self._is_nudged = True
        delay = self._quiet_until - asyncio.get_running_loop().time()
        if delay <= 0:
            self._woken.set()
        else:
            asyncio.get_running_loop().call_later(delay, self._woken.set)

    def run_ended(self, schedule_ids: Collection[int]) -> None:
        """Has it release occurrences that wait for those runs of the schedules."""
        if schedule_ids:
            self._ended.update(schedule_ids)
            self._woken.set()

    async def run(self) -> None:
        """Advances schedules until cancelled."""
        while True:
            seconds = INTERVAL_SECONDS * random.uniform(0.8, 1.0)
            try:
                seconds = min(seconds, await self._look())
            except errors.StoreUnavailable as error:
                self._here.database_outage.begin(error)
            else:
                self._here.database_outage.end()
            await self._wait(seconds)

    async def note_floors(self) -> None:
        """Raises the floors of what advanced until cancelled, beside `run`: they only save reading, so none waits."""
        while True:
            # `run` reports that the database is unavailable.
            with contextlib.suppress(errors.StoreUnavailable):
                await self._floors.note(self._here.engine)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _look(self) -> float:
        """Advances all that is due, and returns the seconds until the next schedule is."""
        self._woken.clear()
        ended, self._ended = self._ended, set()
        try:
            released = await candidates.ended(self._here.engine, sorted(ended)) if ended else []
        except errors.StoreUnavailable:
            self._ended |= ended
            raise
        waiting = await candidates.waiting(self._here.engine, self._after)
        self._after = waiting.after
        positions = {} if self._is_nudged else self._positions
        self._is_nudged = False
        moved, self._positions = await candidates.moved(self._here.engine, self._queues, positions)
        count = 0
        given = list({*released, *waiting.schedule_ids, *moved})
        while given:
            now, given = given[: advance.MOST], given[advance.MOST :]
            count += await self._turn(schedule_ids=now)
        newest_first = False
        while turned := await self._turn(newest_first=newest_first):
            # In turn, so that those that are far behind do not delay those that are due just now.
            newest_first, count = not newest_first, count + turned
        if not count:
            self._quiet_until = asyncio.get_running_loop().time() + _NUDGE_SECONDS
        upcoming, database_now = await advance.next_at(self._here.engine)
        if upcoming is None:
            return INTERVAL_SECONDS
        return max(0.0, (upcoming - database_now).total_seconds()) + _MARGIN_SECONDS

    async def _turn(self, *, schedule_ids: Sequence[int] | None = None, newest_first: bool = False) -> int:
        turn = await advance.turn(
            self._here.engine, actor=self._here.worker_id, schedule_ids=schedule_ids, newest_first=newest_first
        )
        self._here.bell.announce(turn.tasks)
        if turn.count:
            self._floors.advanced({(each.namespace_id, each.queue) for each in turn.tasks})
        # This worker claims at once, without waiting for the wakeup.
        for queue in {each.queue for each in turn.tasks if _is_due(each)}:
            if queue in self._queues:
                self._poll(queue)
        return turn.count


def _is_due(changed: task.Changed) -> bool:
    """Returns whether a task of the namespace that this worker serves may be claimed now."""
    is_own = changed.namespace_id == namespace.current()
    return is_own and changed.status is task.Status.PENDING and changed.execution_time <= changed.now
