"""The outcome recorder. Outcomes that arrive while a batch is being written share the next one."""

import asyncio
from collections.abc import Callable, Collection

import sqlalchemy.exc
import structlog

from duetime_core.model import errors, task
from duetime_core.process import crash
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context, held_leases, starts

MAX_BATCH = 500
_RETRY_SECONDS = 0.25
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
        started.on_logged = lambda: self._added.set()
        self._on_recorded = on_recorded
        self._waiting: dict[int, task_outcomes.Outcome] = {}
        self._added = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def versions(self) -> dict[int, int]:
        """Tasks with unrecorded outcomes: task_id → claimed version."""
        return {task_id: outcome.version for task_id, outcome in self._waiting.items()}

    def add(self, outcome: task_outcomes.Outcome) -> None:
        """Adds an outcome to the next batch."""
        self._waiting[outcome.task_id] = outcome
        self._emptied.clear()
        self._added.set()

    async def run(self) -> None:
        """Records outcomes until cancelled."""
        while True:
            await self._added.wait()
            batch = self._take()
            if not batch:
                self._added.clear()  # the rest waits for starts on their way to the log
                continue
            try:
                passed_over = await self._record(batch)
            except errors.StoreUnavailable as error:
                # The commit may have succeeded. Recording again is idempotent: the version fences it.
                self._here.database_outage.begin(error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._here.database_outage.end()
            # Meanwhile a task may have run here again, and have a newer outcome.
            recorded = [outcome for outcome in batch if outcome.task_id not in passed_over]
            self._leases.discard((outcome.task_id, outcome.version) for outcome in recorded)
            for outcome in recorded:
                self._starts.discard(outcome.task_id, outcome.version)
                if self._waiting[outcome.task_id] is outcome:
                    del self._waiting[outcome.task_id]
            self._on_recorded([outcome.task_id for outcome in recorded])
            if not self._waiting:
                self._added.clear()
                self._emptied.set()
            elif passed_over and not recorded:
                await asyncio.sleep(_RETRY_SECONDS)

    def _take(self) -> list[task_outcomes.Outcome]:
        """Returns the next batch: none whose start is on its way to the log."""
        batch = []
        for outcome in self._waiting.values():
            if not self._starts.is_in_progress(outcome.task_id, outcome.version):
                outcome.is_start_logged = self._starts.is_logged(outcome.task_id, outcome.version)
                batch.append(outcome)
                if len(batch) == MAX_BATCH:
                    break
        return batch

    async def drain(self) -> None:
        """Waits until every outcome is recorded."""
        await self._emptied.wait()

    async def _record(self, batch: list[task_outcomes.Outcome]) -> set[int]:
        """Records the batch; returns the tasks that were locked, and have to be recorded again."""
        try:
            return await self._write(batch)
        except sqlalchemy.exc.DBAPIError as error:
            # One outcome that PostgreSQL rejects must not keep the others from being recorded.
            _log.exception("outcomes rejected by the database", task_ids=[outcome.task_id for outcome in batch])
            if len(batch) > 1:
                passed_over = [await self._record([outcome]) for outcome in batch]
                return set().union(*passed_over)
            if batch[0].change is not task.Change.FAILED:
                return await self._record([_rejected(batch[0], error)])
            return set()

    async def _write(self, batch: list[task_outcomes.Outcome]) -> set[int]:
        crash.point("worker.ran")
        ended = self._leases.ended_by(batch)
        recorded = await task_outcomes.record(
            self._here.engine, batch, worker_id=self._here.worker_id, lease_ids=ended
        )
        crash.point("worker.finished")
        self._here.bell.announce(recorded.changed)
        if not recorded.passed_over:
            self._leases.discard((outcome.task_id, outcome.version) for outcome in batch)
            self._leases.forget(ended)
        fenced = {outcome.task_id for outcome in batch} - {each.task_id for each in recorded.changed}
        fenced -= recorded.passed_over
        if fenced:
            _log.info(
                "outcomes dropped: the tasks were cancelled, or their leases lost",
                count=len(fenced),
                task_ids=sorted(fenced)[:_MAX_LOGGED],
            )
        return recorded.passed_over


def _rejected(outcome: task_outcomes.Outcome, error: sqlalchemy.exc.DBAPIError) -> task_outcomes.Outcome:
    return task_outcomes.Outcome(
        outcome.task_id,
        outcome.version,
        task.Change.FAILED,
        outcome.duration,
        outcome.started_at,
        is_start_logged=outcome.is_start_logged,
        error_message=f"The outcome could not be stored: {type(error.orig).__name__}.",
    )
