"""One run of a claimed task."""

import asyncio
import dataclasses
import datetime
import time

from duetime_core.model import task
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import handlers


@dataclasses.dataclass(slots=True, eq=False)
class Run:
    """A claimed task, and the asyncio task that runs its handler."""

    claimed: task.Task
    lease_until: float
    """When its lease is over by this process's monotonic clock, counted from before the request that extended it."""
    size: int = 0
    """Of its task_data as JSON, in bytes: the average of its claim."""
    running: asyncio.Task[None] | None = None
    stop: handlers.Stop = dataclasses.field(default_factory=handlers.Stop)
    started: float = dataclasses.field(default_factory=time.monotonic)
    has_ended: bool = False
    is_lost: bool = False  # the task is no longer this worker's: its outcome is dropped
    is_released: bool = False  # it has to end: its worker is stopping, or its lease is over

    def cancel(self) -> None:
        """Cancels the handler."""
        if self.running is not None:
            self.running.cancel()

    def released(self) -> task_outcomes.Outcome:
        """Returns the outcome that makes the task pending again without spending a retry."""
        duration = datetime.timedelta(seconds=time.monotonic() - self.started)
        return task_outcomes.Outcome(
            self.claimed.task_id,
            self.claimed.version,
            task.Change.RELEASED,
            duration,
            task_outcomes.started_at(self.claimed),
            lease_id=self.claimed.lease_id,
        )
