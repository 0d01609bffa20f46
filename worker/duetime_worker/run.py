"""One run of a claimed task."""

import asyncio
import dataclasses
import datetime
import time

from duetime_core.model import task
from duetime_core.store.tasks import outcomes as task_outcomes


@dataclasses.dataclass
class Run:
    """A claimed task, and the asyncio task that runs its handler."""

    claimed: task.Task
    running: asyncio.Task[None] | None = None  # set by the runner right after the run is created
    started: float = dataclasses.field(default_factory=time.monotonic)
    is_lost: bool = False  # the task is no longer this worker's: its outcome is dropped
    is_released: bool = False  # the worker is stopping and the grace period is over

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
        )
