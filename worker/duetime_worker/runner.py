"""The runner: it claims due tasks while slots are free, and runs them."""

import asyncio
import collections
import datetime
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any

import structlog

from duetime_core.model import errors, task
from duetime_core.process import crash
from duetime_core.store.claiming import fast
from duetime_worker import (
    advancer,
    batches,
    claim_sizes,
    claimer,
    context,
    execution,
    held_leases,
    outcomes,
    polls,
    quarantine,
    slots,
    starts,
    timers,
)
from duetime_worker.run import Run

_log = structlog.get_logger()

_CANCELLATION = datetime.timedelta(seconds=1)
"""How long a cancelled handler may take to end."""
_LAST_CLAIM = datetime.timedelta(seconds=2)
"""How long claims in flight may take once the worker is stopping."""
_SMALL_CLAIM = 100
"""Up to this many tasks, the fixed cost of a statement is a large part of a claim's."""
_QUARANTINE = quarantine.Source.QUARANTINE


class Runner:
    """Runs at most `concurrency` tasks of `queues` at once, of which at most `threads` are plain functions."""

    def __init__(
        self,
        here: context.Context,
        executor: execution.Executor,
        *,
        queues: Collection[str],
        concurrency: int,
        threads: int,
    ) -> None:
        self._here = here
        self._executor = executor
        self._queues = queues
        self._concurrency = concurrency
        self._slots = slots.Slots(executor, concurrency=concurrency, threads=threads)
        self._runs: dict[int, Run] = {}
        self.leases = held_leases.HeldLeases()
        self.starts = starts.StartRecorder(here)
        self.recorder = outcomes.OutcomeRecorder(here, self.leases, self.starts, self._on_recorded)
        # Counts a task from its claim until its outcome is recorded.
        self._quarantine = quarantine.Quarantine(concurrency, here.lease)
        self._claimer = claimer.Claimer(here)
        self._sizes = claim_sizes.ClaimSizes()
        self._polls = polls.Polls(here, claim=self._claim, slots=self._slots_of_a_claim, held=self._held)
        self._batches = batches.Batches(self._run, self._polls.poll_backlog)
        self._timers = timers.Timers(here.bell, self.poll)
        self.advancer = advancer.Advancer(here, tuple(queues), self.poll)
        self._schedule_ids: dict[int, int] = {}  # of runs whose outcomes are not recorded, by task_id
        self._counts: collections.Counter[str] = collections.Counter()
        self._ended = asyncio.Event()  # a run ended
        self._is_stopping = False

    @property
    def free_slots(self) -> int:
        """How many more tasks may be claimed now."""
        if self._is_stopping or self.recorder.is_full:
            return 0
        return min(self._slots.free, self._batches.room)

    @property
    def versions(self) -> dict[int, int]:
        """The running tasks: task_id → claimed version."""
        return {task_id: run.claimed.version for task_id, run in self._runs.items()}

    def take_counts(self) -> collections.Counter[str]:
        """Returns how many runs started since the last call, by queue."""
        counts, self._counts = self._counts, collections.Counter()
        return counts

    def poll(self, source: polls.Source) -> None:
        """Has `run` claim due tasks of `source` soon. Polls that come together are one."""
        self._polls.poll(source)

    def poll_all(self) -> None:
        """Has `run` claim due tasks of all queues soon; before that, it releases tasks of lost claims."""
        self._claimer.sweep()
        self._polls.release_lost()
        self.poll(_QUARANTINE)
        for queue in self._queues:
            self.poll(queue)

    def lose(self, task_id: int, version: int, lease_id: int | None) -> None:
        """Cancels the run of a task that is no longer this worker's by that lease."""
        run = self._runs.get(task_id)
        if run is not None and (run.claimed.version, run.claimed.lease_id) == (version, lease_id):
            run.is_lost = True
            run.cancel()
            self.leases.lose(run.claimed.lease_id, task_id)
            self.starts.discard(task_id, version)

    def keep(self, task_ids: Iterable[int], *, until: float) -> None:
        """Records that the leases of those tasks are not over before a time by the monotonic clock."""
        for task_id in task_ids:
            if (run := self._runs.get(task_id)) is not None:
                run.lease_until = max(run.lease_until, until)

    def end_expired(self, *, by: float) -> None:
        """Ends the runs from limited queues whose leases are over by then: other workers may start as many.

        Their tasks are released once the database is available, unless they were reclaimed. A plain function continues
        until it returns; it sees `task.cancelled`, and keeps its slot and its task until then.
        """
        expired = [
            run
            for run in self._runs.values()
            if run.lease_until < by and not run.is_released and self._claimer.is_limited(run.claimed.queue)
        ]
        for run in expired:
            run.is_released = run.stop.is_set = True
            if not self._executor.is_plain_function(run.claimed.name):
                run.cancel()
        if expired:
            _log.warning(
                "ending runs of limited queues: their leases are over",
                count=len(expired),
                task_ids=[run.claimed.task_id for run in expired],
            )

    async def run(self) -> None:
        """Claims and runs tasks until `stop`."""
        await self._polls.run()

    def _held(self) -> set[int]:
        return self.leases.ids

    def _slots_of_a_claim(self, source: polls.Source) -> int:
        """Returns how many slots the next claim may reserve, so that those in flight together never exceed the free."""
        free = self.free_slots - self._polls.reserved
        if isinstance(source, quarantine.Source):
            return min(free, sum(map(self._quarantine.free_slots, fast.LEVELS)))
        if len(self._queues) > 1:
            free = -(-free // 2)  # the rest is for the claims from other queues that begin before this one ends
        # Half of all slots, so that one half runs while the claim for the other travels.
        return min(free, max(_SMALL_CLAIM, self._concurrency // 2))

    async def _claim(self, source: polls.Source, limit: int) -> None:
        if isinstance(source, quarantine.Source):
            await self._claim_quarantined(limit)
            return
        limit = self._sizes.limit(source, limit)
        began = time.monotonic()
        try:
            claim = await self._claimer.claim(source, limit)
        except errors.StoreUnavailable:
            self._sizes.failed(source, limit)
            raise
        self._sizes.succeeded(source, self._start_all(claim.tasks, began))
        # If it is full, more tasks may be due: for another worker now, and for this one once slots are free.
        is_full = len(claim.tasks) == limit
        self._polls.was_full(source, is_full=is_full)
        if is_full:
            self._timers.call_idle_workers(source, claim.now)
        if (is_full and self.free_slots) or (claim.tasks and claim.has_missed):
            self.poll(source)
        if claim.has_occurrences:
            self.advancer.nudge()
        if claim.next_due_at is not None:
            self._timers.schedule(source, claim.next_due_at, now=claim.now)

    async def _claim_quarantined(self, limit: int) -> None:
        self._polls.was_full(_QUARANTINE, is_full=False)
        for level in fast.LEVELS:
            if (slots := min(self._quarantine.free_slots(level), limit)) > 0:
                began = time.monotonic()
                claimed = await self._claimer.claim_quarantined(self._queues, level, slots)
                self._start_all(claimed, began)
                limit -= len(claimed)

    def _start_all(self, tasks: Sequence[task.Task], began: float) -> int:
        """Starts the tasks of a claim that began then; returns the average size of their task_data."""
        size = claim_sizes.average(tasks)
        if tasks:
            self.leases.add(tasks)
            crash.point("worker.claimed")
            lease_until = began + self._here.lease.total_seconds()
            runs = [self._add(Run(claimed, lease_until, size)) for claimed in tasks]
            self._batches.start(runs)
            self.starts.add(runs)
        return size

    def _add(self, run: Run) -> Run:
        claimed = run.claimed
        if (earlier := self._runs.get(claimed.task_id)) is not None:
            # Its lease was lost, and it was claimed here again before the lease keeper noticed.
            self.lose(claimed.task_id, earlier.claimed.version, earlier.claimed.lease_id)
        self._quarantine.add(claimed)
        self._counts[claimed.queue] += 1
        self._slots.take(run)
        self._runs[claimed.task_id] = run
        return run

    async def _run(self, run: Run, on_wait: Callable[[], None]) -> None:
        outcome = None
        try:
            if not run.is_lost and not run.is_released:  # before it started
                outcome = await self._executor.run(run.claimed, run.stop, on_wait)
        finally:
            run.has_ended = True
            self._slots.give_back(run)
            if is_current := self._runs.get(run.claimed.task_id) is run:
                del self._runs[run.claimed.task_id]
            if run.is_released and (outcome is None or outcome.change is not task.Change.COMPLETED):
                outcome = run.released()
            self._ended.set()
            self._polls.poll_backlog()  # first, so that the next claim travels while outcomes are put together
            if outcome is not None and not run.is_lost:
                if run.claimed.schedule_id is not None:
                    self._schedule_ids[run.claimed.task_id] = run.claimed.schedule_id
                self.recorder.add(outcome)
            elif is_current:
                self._discard_quarantined([run.claimed.task_id])

    def _on_recorded(self, task_ids: Collection[int]) -> None:
        self._claimer.ended(task_ids)
        for queue in self._claimer.waits_for_runs:
            self.poll(queue)
        if self._schedule_ids:
            schedule_ids = (self._schedule_ids.pop(task_id, None) for task_id in task_ids)
            self.advancer.run_ended({each for each in schedule_ids if each is not None})
        self._discard_quarantined(task_ids)
        self._polls.poll_backlog()

    def _discard_quarantined(self, task_ids: Collection[int]) -> None:
        # Not as soon as the run ends: the next poison task could kill this process before the outcome is recorded.
        if self._quarantine.discard([task_id for task_id in task_ids if task_id not in self._runs]):
            self.poll(_QUARANTINE)

    async def stop(self, grace: datetime.timedelta, *, grace_ended: asyncio.Event) -> None:
        """Claims nothing more, lets runs end for `grace` or until `grace_ended`, and releases the rest.

        Tasks of the last claims are run or released too, if these end within 2 s, or until `grace_ended`. A slower
        claim is cancelled. If it was committed all the same, and only its response lost, its tasks are released, if the
        database responds within 1 s.
        """
        self._is_stopping = True
        self._polls.stop()
        await _until(self._polls.ended(), grace_ended.wait(), limit=_LAST_CLAIM)
        if self._polls.has_claims:
            _log.warning("cancelling slow claims")
            self._polls.cancel()
            await _until(self._polls.ended(), limit=_CANCELLATION)  # hangs up
        if not self._polls.has_claims:
            await _until(self._polls.release_all(), limit=_CANCELLATION)
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
