"""The runner: it claims due tasks while slots are free, and runs them."""

import asyncio
import collections
import datetime
from collections.abc import Collection, Coroutine
from typing import Any

import structlog

from duetime_core.model import errors, task
from duetime_core.process import crash
from duetime_core.store.claiming import fast
from duetime_worker import (
    claimer,
    context,
    execution,
    held_leases,
    lost_claims,
    outcomes,
    quarantine,
    starts,
    timers,
)
from duetime_worker.run import Run

_log = structlog.get_logger()

Source = str | quarantine.Source
"""Where tasks are claimed from: a queue by its name, or the quarantine of all queues."""

_CANCELLATION = datetime.timedelta(seconds=1)
"""How long a cancelled handler may take to end."""
_LAST_CLAIM = datetime.timedelta(seconds=2)
"""How long a claim in progress may take once the worker is stopping."""
_SMALL_CLAIM = 100
"""Up to this many tasks, the fixed cost of a statement is a large part of a claim's."""
_QUARANTINE = quarantine.Source.QUARANTINE


class Runner:
    """Runs at most `concurrency` tasks of `queues` at once."""

    def __init__(
        self, here: context.Context, executor: execution.Executor, *, queues: Collection[str], concurrency: int
    ) -> None:
        self._here = here
        self._executor = executor
        self._queues = queues
        self._concurrency = concurrency
        self._runs: dict[int, Run] = {}
        self.leases = held_leases.HeldLeases()
        self.starts = starts.StartRecorder(here, lambda: [run.claimed for run in self._runs.values()])
        self.recorder = outcomes.OutcomeRecorder(here, self.leases, self.starts, self._on_recorded)
        # Counts a task from its claim until its outcome is recorded.
        self._quarantine = quarantine.Quarantine(concurrency, here.lease)
        self._claimer = claimer.Claimer(here)
        self._lost_claims = lost_claims.LostClaims(here)
        self._timers = timers.Timers(here.bell, self.poll)
        self._counts: collections.Counter[str] = collections.Counter()
        self._polls: dict[Source, None] = {}  # to be polled, in their turn
        # May have more due tasks than there were slots; longest unserved first.
        self._backlog: dict[Source, None] = {}
        self._is_poll_of_all = False  # whether the next poll is
        self._woken = asyncio.Event()
        self._ended = asyncio.Event()  # a run ended
        self._is_stopping = False
        self._claiming: asyncio.Task[Any] | None = None  # the asyncio task of `run`
        self._claims_ended = asyncio.Event()

    @property
    def free_slots(self) -> int:
        """How many more tasks may run here now."""
        return 0 if self._is_stopping else self._concurrency - len(self._runs) - len(self._executor.abandoned)

    @property
    def versions(self) -> dict[int, int]:
        """The running tasks: task_id → claimed version."""
        return {task_id: run.claimed.version for task_id, run in self._runs.items()}

    def take_counts(self) -> collections.Counter[str]:
        """Returns how many runs started since the last call, by queue."""
        counts, self._counts = self._counts, collections.Counter()
        return counts

    def poll(self, source: Source) -> None:
        """Has `run` claim due tasks of `source` soon. Polls that come together are one."""
        self._polls[source] = None
        self._woken.set()

    def poll_all(self) -> None:
        """Has `run` claim due tasks of all queues soon; before that, it releases tasks of lost claims."""
        self._is_poll_of_all = True
        self._claimer.sweep()
        self.poll(_QUARANTINE)
        for queue in self._queues:
            self.poll(queue)

    def lose(self, task_id: int, version: int) -> None:
        """Cancels the run of a task that is no longer this worker's."""
        run = self._runs.get(task_id)
        if run is not None and run.claimed.version == version:
            run.is_lost = True
            run.cancel()
            self.leases.discard([(task_id, version)])

    async def run(self) -> None:
        """Claims and runs tasks until `stop`."""
        self._claiming = asyncio.current_task()
        try:
            while not self._is_stopping:
                await self._woken.wait()
                self._woken.clear()
                polls, self._polls = self._polls, {}
                is_all, self._is_poll_of_all = self._is_poll_of_all, False
                if is_all and self._lost_claims.are_possible:
                    await self._lost_claims.release(lambda: self.leases.ids)  # so that the polls after it claim them
                for source in polls:
                    await self._claim_from(source)
        finally:
            self._claims_ended.set()

    async def _claim_from(self, source: Source) -> None:
        if self.free_slots <= 0:
            self._backlog.setdefault(source)
            return
        try:
            with self._lost_claims.unless_answered():
                if isinstance(source, quarantine.Source):
                    await self._claim_quarantined()
                else:
                    await self._claim(source)
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
        else:
            self._here.database_outage.end()

    async def _claim(self, queue: str) -> None:
        # Half of all slots, so that one half runs while the claim for the other travels.
        limit = min(self.free_slots, max(_SMALL_CLAIM, self._concurrency // 2))
        claim = await self._claimer.claim(queue, limit)
        self._start_all(claim.tasks)
        self._backlog.pop(queue, None)
        if len(claim.tasks) == limit:
            # More tasks may be due: for another worker now, and for this one once slots are free.
            self._backlog[queue] = None
            self._timers.call_idle_workers(queue, claim.now)
            if self.free_slots:
                self.poll(queue)
        if claim.next_due_at is not None:
            self._timers.schedule(queue, claim.next_due_at, now=claim.now)

    async def _claim_quarantined(self) -> None:
        self._backlog.pop(_QUARANTINE, None)
        for level in fast.LEVELS:
            if (limit := min(self._quarantine.free_slots(level), self.free_slots)) > 0:
                self._start_all(await self._claimer.claim_quarantined(self._queues, level, limit))

    def _start_all(self, tasks: Collection[task.Task]) -> None:
        if not tasks:
            return
        self.leases.add(tasks)
        crash.point("worker.claimed")
        for claimed in tasks:
            self._start(claimed)
        self.starts.add()

    def _start(self, claimed: task.Task) -> None:
        if (earlier := self._runs.get(claimed.task_id)) is not None:
            # Its lease was lost, and it was claimed here again before the lease keeper noticed.
            self.lose(claimed.task_id, earlier.claimed.version)
        self._quarantine.add(claimed)
        self._counts[claimed.queue] += 1
        run = self._runs[claimed.task_id] = Run(claimed)
        run.running = asyncio.create_task(self._run(run))

    async def _run(self, run: Run) -> None:
        outcome = None
        try:
            outcome = await self._executor.run(run.claimed)
        finally:
            if is_current := self._runs.get(run.claimed.task_id) is run:
                del self._runs[run.claimed.task_id]
            if run.is_released and (outcome is None or outcome.change is not task.Change.COMPLETED):
                outcome = run.released()
            if outcome is not None and not run.is_lost:
                self.recorder.add(outcome)
            elif is_current:
                self._discard_quarantined([run.claimed.task_id])
            self._ended.set()
            for source in self._backlog:
                self.poll(source)

    def _on_recorded(self, task_ids: Collection[int]) -> None:
        for queue in self._claimer.waits_for_runs:
            self.poll(queue)
        self._discard_quarantined(task_ids)

    def _discard_quarantined(self, task_ids: Collection[int]) -> None:
        # Not as soon as the run ends: the next poison task could kill this process before the outcome is recorded.
        if self._quarantine.discard([task_id for task_id in task_ids if task_id not in self._runs]):
            self.poll(_QUARANTINE)

    async def stop(self, grace: datetime.timedelta, *, grace_ended: asyncio.Event) -> None:
        """Claims nothing more, lets runs end for `grace` or until `grace_ended`, and releases the rest.

        Tasks of the last claim are run or released too, if it ends within 2 s, or until `grace_ended`. A slower claim
        is cancelled. If it was committed all the same, and only its response lost, its tasks are released, if the
        database responds within 1 s.
        """
        self._is_stopping = True
        self._woken.set()
        await _until(self._claims_ended.wait(), grace_ended.wait(), limit=_LAST_CLAIM)
        if self._claiming is not None and not self._claims_ended.is_set():
            _log.warning("cancelling a slow claim")
            self._claiming.cancel()
            await _until(self._claims_ended.wait(), limit=_CANCELLATION)  # hangs up
        if self._lost_claims.are_possible and self._claims_ended.is_set():
            await _until(self._lost_claims.release(lambda: self.leases.ids), limit=_CANCELLATION)
        await _until(self._all_ended(), grace_ended.wait(), limit=grace)
        unfinished = list(self._runs.values())
        for run in unfinished:
            run.is_released = True
            run.cancel()
        await _until(self._all_ended(), limit=_CANCELLATION)
        for run in self._runs.values():  # handlers that ignore the cancellation
            run.is_lost = True
            self.recorder.add(run.released())
        if unfinished:
            _log.warning("releasing unfinished tasks", count=len(unfinished))

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
