"""Why a task does not run."""

import dataclasses

from duetime_client import task


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a task does not run, or that it does."""

    code: str
    """Such as `NOT_DUE` or `QUEUE_PAUSED`. New values may be added."""
    message: str
    """A sentence for people."""


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """Every known reason why a task does not run, in the order in which it waits for them."""

    task_id: int
    status: task.Status
    reasons: tuple[Reason, ...]
