"""The runner: it claims due tasks as slots are free, and runs them."""

import asyncio
import collections
import dataclasses
import datetime
import time
from collections.abc import Collection, Coroutine
from typing import Any

import structlog

from duetime_core.model import errors, task
from duetime_core.process import crash
from duetime_core.redis import wakeup
from duetime_core.store.claiming import fast
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import claimer, context, execution, lost_claims, outcomes, quarantine

_log = structlog.get_logger()

_CANCELLATION = datetime.timedelta(seconds=1)
"""How long a handler may take to end once it is cancelled."""
_LAST_CLAIM = datetime.timedelta(seconds=2)
"""How long a claim that is under way may take once the worker is told to stop."""
_SMALL_CLAIM = 100
"""Up to so many tasks, what a statement costs by itself is a good part of what a claim costs."""
_QUARANTINE = None
"""Where a queue's name stands for its due tasks: those that are claimed apart, of all queues."""
_LONG_AGO = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_ZERO = datetime.timedelta(0)
_RING_AGAIN = datetime.timedelta(milliseconds=100)
"""How long after ringing for idle workers to ring again: this worker itself may have answered, or a busy one."""
_TIMER_MARGIN_SECONDS = 0.0005
"""Timers fire a little late rather than early: an early look finds nothing and has to look again."""


@dataclasses.dataclass
class Run:
    """A claimed task, and the asyncio task that runs its handler."""

    claimed: task.Task
    running: asyncio.Task[None] | None = None  # set at once, by who makes the run
    started: float = dataclasses.field(default_factory=time.monotonic)
    is_lost: bool = False  # once the task is no longer this worker's: its outcome is dropped
    is_released: bool = False  # once the worker stops and the grace period is over

    def cancel(self) -> None:
        """Cancels the handler."""
        if self.running is not None:
            self.running.cancel()


class Runner:
    """Runs at most `concurrency` tasks of `queues` at once."""

    def __init__(
        self,
        here: context.Context,
        executor: execution.Executor,
        report: outcomes.OutcomeRecorder,
        *,
        queues: Collection[str],
        concurrency: int,
    ) -> None:
        self._here = here
        self._executor = executor
        self._report = report
        self._queues = queues
        self._concurrency = concurrency
        self._runs: dict[int, Run] = {}
        self._quarantine = quarantine.Quarantine(
            concurrency, here.lease
        )  # from their claim until their outcome is recorded
        report.on_recorded = self._recorded
        self._claimer = claimer.Claimer(here)
        self._lost_claims = lost_claims.LostClaims(here)
        self.begun: collections.Counter[str] = collections.Counter()
        """How many runs began, by their queues, since somebody took the count."""
        self._looks: dict[str | None, None] = {}  # queues to look into, in their turn
        # Those that may have more than there were slots, longest unserved first.
        self._backlog: dict[str | None, None] = {}
        self._rung: dict[str, datetime.datetime] = {}  # when idle workers were, or will be, called to a queue
        self._is_look_everywhere = False  # whether the next one is
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._woken = asyncio.Event()
        self._ended = asyncio.Event()  # a run ended
        self._is_stopping = False
        self._claiming: asyncio.Task[Any] | None = None  # once `run` goes on
        self._claims_ended = asyncio.Event()

    @property
    def free_slots(self) -> int:
        """How many more tasks may run here now."""
        return 0 if self._is_stopping else self._concurrency - len(self._runs) - len(self._executor.lingering)

    @property
    def versions(self) -> dict[int, int]:
        """The tasks that run here: task_id → the version that the claim gave."""
        return {task_id: run.claimed.version for task_id, run in self._runs.items()}

    def look(self, queue: str | None) -> None:
        """Looks for due tasks of `queue` soon, or for suspects. Looks that come together are one."""
        self._looks[queue] = None
        self._woken.set()

    def look_everywhere(self) -> None:
        """Looks for due tasks of every queue, and for suspects; before that, for what lost claims brought."""
        self._is_look_everywhere = True
        for queue in (_QUARANTINE, *self._queues):
            self.look(queue)

    def lose(self, task_id: int, version: int) -> None:
        """Cancels the run of a task that is no longer this worker's."""
        run = self._runs.get(task_id)
        if run is not None and run.claimed.version == version:
            run.is_lost = True
            run.cancel()

    async def run(self) -> None:
        """Claims and runs until `stop`."""
        self._claiming = asyncio.current_task()
        try:
            while not self._is_stopping:
                await self._woken.wait()
                self._woken.clear()
                looks, self._looks = self._looks, {}
                is_everywhere, self._is_look_everywhere = self._is_look_everywhere, False
                if is_everywhere and self._lost_claims.are_possible:
                    await self._lost_claims.release(self._held)  # so that the looks after it find them
                for queue in looks:
                    await self._look_into(queue)
        finally:
            self._claims_ended.set()

    def _held(self) -> set[int]:
        return {*self._runs, *self._report.versions}

    async def _look_into(self, queue: str | None) -> None:
        if self.free_slots <= 0:
            self._backlog.setdefault(queue)
            return
        try:
            with self._lost_claims.unless_answered():
                if queue is _QUARANTINE:
                    await self._claim_quarantined()
                else:
                    await self._claim(queue)
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
        else:
            self._here.database_outage.end()

    async def _claim(self, queue: str) -> None:
        # Half of all, so that one half runs while the claim for the other one travels.
        limit = min(self.free_slots, max(_SMALL_CLAIM, self._concurrency // 2))
        claim = await self._claimer.claim(queue, limit)
        self._start_all(claim.tasks)
        self._backlog.pop(queue, None)
        if len(claim.tasks) == limit:
            # There may be more: another worker may take it now, and this one as its slots are freed.
            self._backlog[queue] = None
            self._call_idle_workers(queue, claim.now)
            if self.free_slots:
                self.look(queue)
        if claim.next_due_at is not None:
            self._wait_for(queue, claim.next_due_at, now=claim.now)

    def _call_idle_workers(self, queue: str, now: datetime.datetime) -> None:
        since = now - self._rung.get(queue, _LONG_AGO)
        if -_RING_AGAIN <= since < _ZERO:
            return  # that ring is still to come
        at = now + _RING_AGAIN - since if _ZERO <= since < _RING_AGAIN else now
        self._rung[queue] = at
        self._here.bell.arm(queue, at, now=now)

    async def _claim_quarantined(self) -> None:
        self._backlog.pop(_QUARANTINE, None)
        for level in fast.LEVELS:
            if (limit := min(self._quarantine.room(level), self.free_slots)) > 0:
                self._start_all(await self._claimer.claim_quarantined(self._queues, level, limit))

    def _wait_for(self, queue: str, due_at: datetime.datetime, *, now: datetime.datetime) -> None:
        """Looks again when the queue's next task is due, and has any worker look a slot later."""
        if due_at - now > wakeup.HORIZON:
            return
        self._here.bell.arm(queue, due_at + wakeup.SLOT, now=now)
        if (timer := self._timers.get(queue)) is not None:
            timer.cancel()
        delay = (due_at - now).total_seconds() + _TIMER_MARGIN_SECONDS
        self._timers[queue] = asyncio.get_running_loop().call_later(delay, self.look, queue)

    def _start_all(self, tasks: Collection[task.Task]) -> None:
        if tasks:
            crash.point("worker.claimed")
        for claimed in tasks:
            self._start(claimed)
        self._here.bell.changed(claimed.task_id for claimed in tasks)

    def _start(self, claimed: task.Task) -> None:
        if (earlier := self._runs.get(claimed.task_id)) is not None:
            # Its lease was lost, and before the lease keeper noticed the task came back here.
            self.lose(claimed.task_id, earlier.claimed.version)
        self._quarantine.add(claimed)
        self.begun[claimed.queue] += 1
        run = self._runs[claimed.task_id] = Run(claimed)
        run.running = asyncio.create_task(self._run(run))

    async def _run(self, run: Run) -> None:
        outcome = None
        try:
            outcome = await self._executor.run(run.claimed)
        finally:
            if is_present := self._runs.get(run.claimed.task_id) is run:
                del self._runs[run.claimed.task_id]
            if run.is_released and (outcome is None or outcome.change is not task.Change.COMPLETED):
                outcome = _released(run)
            if outcome is not None and not run.is_lost:
                self._report.add(outcome)
            elif is_present:
                self._discard_quarantined([run.claimed.task_id])
            self._ended.set()
            for queue in self._backlog:
                self.look(queue)

    def _recorded(self, task_ids: Collection[int]) -> None:
        for queue in self._claimer.waits_for_runs:
            self.look(queue)
        self._discard_quarantined(task_ids)

    def _discard_quarantined(self, task_ids: Collection[int]) -> None:
        # Not as soon as they ended: the next one could end this process before that is recorded.
        if self._quarantine.discard([task_id for task_id in task_ids if task_id not in self._runs]):
            self.look(_QUARANTINE)

    async def stop(self, grace: datetime.timedelta, *, hurry: asyncio.Event) -> None:
        """Claims nothing more, lets the runs end for `grace`, or until `hurry`, and hands the rest back.

        What the last claim brings is run or handed back too, if it comes within 2 s, or until `hurry`. A claim that
        takes longer is cancelled. If it was committed all the same, and only its answer missing, its tasks are handed
        back, if the database answers within 1 s.
        """
        self._is_stopping = True
        self._woken.set()
        await _until(self._claims_ended.wait(), hurry.wait(), limit=_LAST_CLAIM)
        if self._claiming is not None and not self._claims_ended.is_set():
            _log.warning("gave up a claim that takes too long")
            self._claiming.cancel()
            await _until(self._claims_ended.wait(), limit=_CANCELLATION)  # PostgreSQL is told to give it up too
        if self._lost_claims.are_possible and self._claims_ended.is_set():
            await _until(self._lost_claims.release(self._held), limit=_CANCELLATION)
        await _until(self._all_ended(), hurry.wait(), limit=grace)
        unfinished = list(self._runs.values())
        for run in unfinished:
            run.is_released = True
            run.cancel()
        await _until(self._all_ended(), limit=_CANCELLATION)
        for run in self._runs.values():  # handlers that take no notice of being cancelled
            run.is_lost = True
            self._report.add(_released(run))
        if unfinished:
            _log.warning("handing back tasks that had not ended", count=len(unfinished))

    async def _all_ended(self) -> None:
        while self._runs:
            self._ended.clear()
            await self._ended.wait()


async def _until(*events: Coroutine[Any, Any, Any], limit: datetime.timedelta) -> None:
    """Waits until the first of `events`, for at most `limit`."""
    waits = [asyncio.ensure_future(event) for event in events]
    await asyncio.wait(waits, timeout=limit.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits, timeout=_CANCELLATION.total_seconds())


def _released(run: Run) -> task_outcomes.Outcome:
    duration = datetime.timedelta(seconds=time.monotonic() - run.started)
    return task_outcomes.Outcome(run.claimed.task_id, run.claimed.version, task.Change.RELEASED, duration)
