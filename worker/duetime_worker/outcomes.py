"""The outcome recorder. Outcomes that arrive while a batch is being written share the next one.

Once these are a full batch, it is written beside the first: as fast as outcomes come, PostgreSQL records them.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable

import structlog

from duetime_core.model import errors, task
from duetime_core.process import crash
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context, held_leases, starts

MAX_BATCH = 1_000
MAX_BATCH_BYTES = 1_000_000
"""Of results and errors: a batch of large results would time out on a slow disk."""
MAX_WAITING = 4 * MAX_BATCH
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Beyond either no task is claimed until outcomes are recorded."""
_RETRY_SECONDS = 0.25
_FIRST_LOCKED_SECONDS = 0.01
_MAX_LOGGED = 10
"""How many task ids one line of the log contains."""

_log = structlog.get_logger()


class OutcomeRecorder:
    """Keeps each outcome until PostgreSQL has recorded it, or has fenced it out because the lease was lost.

    `on_recorded` is called with the tasks whose outcomes were recorded or fenced out.
    """

    def __init__(
        self,
        here: context.Context,
        leases: held_leases.HeldLeases,
        started: starts.StartRecorder,
        on_recorded: Callable[[Collection[int]], None],
    ) -> None:
        self._here = here
        self._leases = leases
        self._starts = started
        started.on_logged = self._wake
        self._on_recorded = on_recorded
        self._waiting: dict[int, task_outcomes.Outcome] = {}
        self._in_flight: set[tuple[int, int]] = set()  # of those that wait: task_id and version
        # Passed over, because another session has locked their rows: recorded apart, so that they delay no others.
        self._locked: dict[int, task_outcomes.Outcome] = {}
        self._waiting_bytes = 0
        self._in_flight_bytes = 0
        self._added = asyncio.Event()
        self._many_added = asyncio.Event()  # a full batch
        self._any_locked = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def versions(self) -> dict[int, int]:
        """Tasks with unrecorded outcomes, whose leases must be extended: task_id → claimed version."""
        return {task_id: outcome.version for task_id, outcome in (self._locked | self._waiting).items()}

    @property
    def is_full(self) -> bool:
        """Whether so many outcomes wait that no task should be claimed."""
        return len(self._waiting) > MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES

    def add(self, outcome: task_outcomes.Outcome) -> None:
        """Adds an outcome to the next batch."""
        self._supersede(self._waiting, outcome.task_id)
        self._waiting[outcome.task_id] = outcome
        self._waiting_bytes += _size(outcome)
        self._emptied.clear()
        self._wake()

    def _wake(self) -> None:
        self._added.set()
        count, size = len(self._waiting) - len(self._in_flight), self._waiting_bytes - self._in_flight_bytes
        if count >= MAX_BATCH or size >= MAX_BATCH_BYTES:
            self._many_added.set()

    async def run(self) -> None:
        """Records outcomes until cancelled."""
        self._wake()  # for what an error has left in flight
        async with asyncio.TaskGroup() as recording:
            recording.create_task(self._record_waiting(self._added, only_full=False))
            recording.create_task(self._record_waiting(self._many_added, only_full=True))
            recording.create_task(self._record_locked())

    async def _record_waiting(self, added: asyncio.Event, *, only_full: bool) -> None:
        """Records batches, or only those that are as large as may be, until cancelled."""
        most = MAX_BATCH  # halved when a batch fails, which may have been too large
        while True:
            await added.wait()
            await asyncio.sleep(0)  # the next claim goes first: it is what the worker waits for
            batch, is_full = self._next_batch(self._waiting.values(), most)
            # A lease whose last tasks were in two batches is deleted with the next one, which may have no outcomes.
            is_due = is_full if only_full else bool(batch) or (not self._in_flight and self._leases.has_empty)
            if not is_due:
                added.clear()  # the others are in flight, too few, or wait for their starts, which are on their way
                continue
            passed_over = await self._fly(batch)
            if passed_over is None:
                most = len(batch) // 2 or most
            else:
                most = min(MAX_BATCH, 2 * most)
                self._set_aside(batch, passed_over)
                self._remove(self._waiting, batch, passed_over)
            self._wake()  # the other loop, for what this one has left

    async def _fly(self, batch: list[task_outcomes.Outcome]) -> Collection[int] | None:
        """Tries to record a batch that no other loop takes meanwhile; waits before the next attempt if it failed."""
        keys, size = {(outcome.task_id, outcome.version) for outcome in batch}, sum(map(_size, batch))
        self._in_flight |= keys
        self._in_flight_bytes += size
        try:
            passed_over = await self._try(batch)
            if passed_over is None:
                await asyncio.sleep(_RETRY_SECONDS)
            return passed_over
        finally:
            self._in_flight -= keys
            self._in_flight_bytes -= size

    def _set_aside(self, batch: Iterable[task_outcomes.Outcome], passed_over: Collection[int]) -> None:
        for outcome in batch:
            if outcome.task_id in passed_over and self._waiting.get(outcome.task_id) is outcome:
                self._supersede(self._locked, outcome.task_id)
                self._locked[outcome.task_id] = self._waiting.pop(outcome.task_id)
                self._any_locked.set()

    async def _record_locked(self) -> None:
        """Records the outcomes that were passed over, until cancelled."""
        seconds, most = _FIRST_LOCKED_SECONDS, MAX_BATCH
        while True:
            await self._any_locked.wait()
            await asyncio.sleep(seconds)
            batch, _ = self._next_batch(self._locked.values(), most)
            passed_over = await self._try(batch)
            most = len(batch) // 2 or most if passed_over is None else min(MAX_BATCH, 2 * most)
            if passed_over is None or len(passed_over) == len(batch):
                seconds = min(2 * seconds, _RETRY_SECONDS)
            else:
                seconds = _FIRST_LOCKED_SECONDS
            if passed_over is not None:
                self._remove(self._locked, batch, passed_over)
                for task_id in passed_over:  # behind the others, which may be free by now
                    self._locked[task_id] = self._locked.pop(task_id)
            if not self._locked:
                self._any_locked.clear()

    def _next_batch(
        self, outcomes: Iterable[task_outcomes.Outcome], most: int
    ) -> tuple[list[task_outcomes.Outcome], bool]:
        """Returns at most so many outcomes to record together, and whether there was no room for more."""
        batch: list[task_outcomes.Outcome] = []
        room = MAX_BATCH_BYTES
        for outcome in outcomes:
            if self._in_flight and (outcome.task_id, outcome.version) in self._in_flight:
                continue
            if self._starts.knows_any:
                if self._starts.is_in_progress(outcome.task_id, outcome.version):
                    continue
                outcome.is_start_logged = self._starts.is_logged(outcome.task_id, outcome.version)
            room -= _size(outcome)
            if batch and room < 0:
                return batch, True
            batch.append(outcome)
            if len(batch) == most:
                return batch, True
        return batch, False

    async def _try(self, batch: list[task_outcomes.Outcome]) -> Collection[int] | None:
        """Records a batch; returns the tasks that were passed over, or None if the database is unavailable."""
        try:
            passed_over = await self._record(batch)
        except errors.StoreUnavailable as error:
            # The commit may have succeeded. Recording again is idempotent: the version fences it.
            self._here.database_outage.begin(error)
            return None
        self._here.database_outage.end()
        return passed_over

    def _remove(
        self,
        kept: dict[int, task_outcomes.Outcome],
        batch: Collection[task_outcomes.Outcome],
        passed_over: Collection[int],
    ) -> None:
        """Removes the outcomes that were recorded or fenced out."""
        ended = [outcome for outcome in batch if outcome.task_id not in passed_over]
        self._leases.discard(ended)
        if self._starts.knows_any:
            for outcome in ended:
                self._starts.discard(outcome.task_id, outcome.version)
        # Meanwhile a task may have run here again, and have a newer outcome.
        recorded = [outcome.task_id for outcome in ended if kept.get(outcome.task_id) is outcome]
        for task_id in recorded:
            self._discard(kept, task_id)
        self._on_recorded(recorded)
        if not self._waiting and not self._locked:
            self._emptied.set()

    def _supersede(self, kept: dict[int, task_outcomes.Outcome], task_id: int) -> None:
        """Discards the outcome of an earlier run of a task: it was recorded, or its lease was lost."""
        if (earlier := kept.get(task_id)) is not None:
            self._discard(kept, task_id)
            self._leases.discard([earlier])
            self._starts.discard(earlier.task_id, earlier.version)

    def _discard(self, kept: dict[int, task_outcomes.Outcome], task_id: int) -> None:
        if (outcome := kept.pop(task_id, None)) is not None:
            self._waiting_bytes -= _size(outcome)

    async def drain(self) -> None:
        """Waits until every outcome is recorded."""
        await self._emptied.wait()

    async def _record(self, batch: list[task_outcomes.Outcome]) -> Collection[int]:
        """Records a batch, and returns the tasks that were passed over. Raises StoreUnavailable."""
        try:
            return await self._write(batch)
        except errors.StoreUnavailable:
            raise
        except Exception as error:
            # One outcome that cannot be written must not keep the others from being recorded.
            _log.exception("outcomes rejected by the database", task_ids=[outcome.task_id for outcome in batch])
            passed_over: set[int] = set()
            if len(batch) > 1:
                for outcome in batch:
                    passed_over.update(await self._record([outcome]))
            elif batch[0].change is not task.Change.FAILED:
                passed_over.update(await self._record([_rejected(batch[0], error)]))
            return passed_over

    async def _write(self, batch: list[task_outcomes.Outcome]) -> Collection[int]:
        crash.point("worker.ran")
        ended = self._leases.ended_by(batch)
        recorded = await task_outcomes.record(self._here.engine, batch, worker_id=self._here.worker_id, lease_ids=ended)
        crash.point("worker.finished")
        self._here.bell.announce(recorded.pending)
        self._here.bell.changed(recorded.ended)
        if len(recorded) == len(batch):
            self._leases.forget(ended)
            return ()
        missing = {outcome.task_id: outcome for outcome in batch}
        for task_id in recorded.task_ids:
            del missing[task_id]
        passed_over = await task_outcomes.held(self._here.engine, missing.values(), worker_id=self._here.worker_id)
        if fenced := missing.keys() - passed_over:
            _log.info(
                "outcomes dropped: the tasks were cancelled, or their leases lost",
                count=len(fenced),
                task_ids=sorted(fenced)[:_MAX_LOGGED],
            )
        return passed_over


def _size(outcome: task_outcomes.Outcome) -> int:
    return len(outcome.result or "") + len(outcome.error_message or "")


def _rejected(outcome: task_outcomes.Outcome, error: Exception) -> task_outcomes.Outcome:
    return task_outcomes.Outcome(
        outcome.task_id,
        outcome.version,
        task.Change.FAILED,
        outcome.duration,
        outcome.started_at,
        outcome.lease_id,
        is_start_logged=outcome.is_start_logged,
        error_message=f"The outcome could not be stored: {type(getattr(error, 'orig', error)).__name__}.",
    )
