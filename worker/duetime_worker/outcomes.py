"""The outcome recorder. Outcomes that arrive while a batch is being written share the next one."""

import asyncio
from collections.abc import Callable, Collection

import sqlalchemy.exc
import structlog

from duetime_core.model import errors, task
from duetime_core.process import crash
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import context

MAX_BATCH = 500
_RETRY_SECONDS = 0.25
_MAX_LOGGED = 10
"""How many task ids one line of the log contains."""

_log = structlog.get_logger()


class OutcomeRecorder:
    """Keeps each outcome until PostgreSQL has recorded it, or has fenced it out because the lease was lost.

    `on_recorded` is called with the tasks whose outcomes were recorded or fenced out.
    """

    def __init__(self, here: context.Context, on_recorded: Callable[[Collection[int]], None]) -> None:
        self._here = here
        self._on_recorded = on_recorded
        self._waiting: dict[int, task_outcomes.Outcome] = {}
        self._added = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    @property
    def versions(self) -> dict[int, int]:
        """Tasks with unrecorded outcomes, whose leases must be extended: task_id → claimed version."""
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
            batch = list(self._waiting.values())[:MAX_BATCH]
            try:
                await self._record(batch)
            except errors.StoreUnavailable as error:
                # The commit may have succeeded. Recording again is idempotent: the version fences it.
                self._here.database_outage.begin(error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._here.database_outage.end()
            # Meanwhile a task may have run here again, and have a newer outcome.
            recorded = [outcome.task_id for outcome in batch if self._waiting[outcome.task_id] is outcome]
            for task_id in recorded:
                del self._waiting[task_id]
            self._on_recorded(recorded)
            if not self._waiting:
                self._added.clear()
                self._emptied.set()

    async def drain(self) -> None:
        """Waits until every outcome is recorded."""
        await self._emptied.wait()

    async def _record(self, batch: list[task_outcomes.Outcome]) -> None:
        try:
            await self._write(batch)
        except sqlalchemy.exc.DBAPIError as error:
            # One outcome that PostgreSQL rejects must not keep the others from being recorded.
            _log.exception("outcomes rejected by the database", task_ids=[outcome.task_id for outcome in batch])
            if len(batch) > 1:
                for outcome in batch:
                    await self._record([outcome])
            elif batch[0].change is not task.Change.FAILED:
                await self._record([_rejected(batch[0], error)])

    async def _write(self, batch: list[task_outcomes.Outcome]) -> None:
        crash.point("worker.ran")
        recorded = await task_outcomes.record(self._here.engine, batch, worker_id=self._here.worker_id)
        crash.point("worker.finished")
        self._here.bell.announce(recorded)
        fenced = {outcome.task_id for outcome in batch} - {each.task_id for each in recorded}
        if fenced:
            _log.info(
                "outcomes dropped: the tasks were cancelled, or their leases lost",
                count=len(fenced),
                task_ids=sorted(fenced)[:_MAX_LOGGED],
            )


def _rejected(outcome: task_outcomes.Outcome, error: sqlalchemy.exc.DBAPIError) -> task_outcomes.Outcome:
    return task_outcomes.Outcome(
        outcome.task_id,
        outcome.version,
        task.Change.FAILED,
        outcome.duration,
        error_message=f"The outcome could not be stored: {type(error.orig).__name__}.",
    )
