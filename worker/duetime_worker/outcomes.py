"""The reporter: it records outcomes. Those that come while a flush is under way share the next one."""

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
_MOST_NAMED = 10
"""How many tasks a line of the log names."""

_log = structlog.get_logger()


class OutcomeRecorder:
    """Keeps each outcome until PostgreSQL has it, or has refused it because the task is somebody else's now."""

    def __init__(self, here: context.Context) -> None:
        self._here = here
        self._waiting: dict[int, task_outcomes.Outcome] = {}
        self._added = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.on_recorded: Callable[[Collection[int]], None] = lambda _task_ids: None
        """Called with the tasks whose last outcome is recorded, or dropped because they were somebody else's."""

    @property
    def versions(self) -> dict[int, int]:
        """The tasks whose outcome is not recorded yet, whose leases must live on: task_id → claimed version."""
        return {task_id: outcome.version for task_id, outcome in self._waiting.items()}

    def add(self, outcome: task_outcomes.Outcome) -> None:
        """Records that outcome soon."""
        self._waiting[outcome.task_id] = outcome
        self._emptied.clear()
        self._added.set()

    async def run(self) -> None:
        """Records outcomes, for ever."""
        while True:
            await self._added.wait()
            batch = list(self._waiting.values())[:MAX_BATCH]
            try:
                await self._flush(batch)
            except errors.StoreUnavailable as error:
                # Whether the commit arrived is not known. Recording it again is safe: the version fences it.
                self._here.database_outage.begin(error)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._here.database_outage.end()
            # Meanwhile a task may have run here once more.
            recorded = [outcome.task_id for outcome in batch if self._waiting[outcome.task_id] is outcome]
            for task_id in recorded:
                del self._waiting[task_id]
            self.on_recorded(recorded)
            if not self._waiting:
                self._added.clear()
                self._emptied.set()

    async def drain(self) -> None:
        """Waits until every outcome is recorded."""
        await self._emptied.wait()

    async def _flush(self, batch: list[task_outcomes.Outcome]) -> None:
        try:
            await self._finish(batch)
        except sqlalchemy.exc.DBAPIError as error:
            # One outcome that PostgreSQL does not take must not keep the others from being recorded.
            _log.exception("an outcome was refused", task_ids=[outcome.task_id for outcome in batch])
            if len(batch) > 1:
                for outcome in batch:
                    await self._flush([outcome])
            elif batch[0].change is not task.Change.FAILED:
                await self._flush([_refused(batch[0], error)])

    async def _finish(self, batch: list[task_outcomes.Outcome]) -> None:
        crash.point("worker.ran")
        finished = await task_outcomes.record(self._here.engine, batch, worker_id=self._here.worker_id)
        crash.point("worker.finished")
        self._here.bell.announce(finished)
        fenced = {outcome.task_id for outcome in batch} - {done.task_id for done in finished}
        if fenced:
            _log.info(
                "outcomes dropped: the tasks were cancelled, or their leases lost",
                count=len(fenced),
                task_ids=sorted(fenced)[:_MOST_NAMED],
            )


def _refused(outcome: task_outcomes.Outcome, error: sqlalchemy.exc.DBAPIError) -> task_outcomes.Outcome:
    return task_outcomes.Outcome(
        outcome.task_id,
        outcome.version,
        task.Change.FAILED,
        outcome.duration,
        error_message=f"The outcome could not be stored: {type(error.orig).__name__}.",
    )
