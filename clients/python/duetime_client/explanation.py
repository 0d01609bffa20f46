"""Why a task does not run."""

import dataclasses

from duetime_client import task


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a task from running, or says that it does."""

    code: str
    """What it is, such as `NOT_DUE` or `QUEUE_PAUSED`. The set is open."""
    message: str
    """A sentence for people."""


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known to keep a task, what it waits for first coming first."""

    task_id: int
    status: task.Status
    reasons: tuple[Reason, ...]
