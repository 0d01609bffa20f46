"""One tree of errors. A class's docstring is its default message; its `reason` is what callers may match on."""

import dataclasses


class DuetimeError(Exception):
    """Something went wrong."""

    reason = "INTERNAL"

    def __init__(self, message: str | None = None, **metadata: str) -> None:
        super().__init__(message or type(self).__doc__)
        self.metadata = metadata

    @property
    def message(self) -> str:
        """One sentence for people."""
        return str(self)


@dataclasses.dataclass(frozen=True)
class Violation:
    """One wrong field: its path in the request, such as `retry_policy.jitter`, and what would be right."""

    field: str
    description: str


class InvalidArgument(DuetimeError):
    """The request is wrong."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, *violations: Violation, more: int = 0) -> None:
        told = [f"{each.field}: {each.description}" if each.field else each.description for each in violations]
        super().__init__("; ".join([*told, f"and {more} more"] if more else told))
        self.violations = violations


class TaskNotFound(DuetimeError):
    """There is no such task."""

    reason = "TASK_NOT_FOUND"

    @classmethod
    def of(cls, task_id: int) -> "TaskNotFound":
        """Returns the error that names the task."""
        return cls(f"There is no task {task_id}.", task_id=str(task_id))


class QueueNotFound(DuetimeError):
    """There is no such queue."""

    reason = "QUEUE_NOT_FOUND"

    @classmethod
    def of(cls, name: str) -> "QueueNotFound":
        """Returns the error that names the queue."""
        return cls(f"There is no queue {name!r}: no task is in it, and no live worker serves it.", queue=name)


class ScheduleNotFound(DuetimeError):
    """There is no such schedule."""

    reason = "SCHEDULE_NOT_FOUND"

    @classmethod
    def of(cls, schedule_id: int) -> "ScheduleNotFound":
        """Returns the error that names the schedule."""
        return cls(f"There is no schedule {schedule_id}.", schedule_id=str(schedule_id))


class StateConflict(DuetimeError):
    """The state of the task or schedule does not allow that."""


class ScheduleUnreadable(StateConflict):
    """The schedule has something that this release does not know."""

    reason = "SCHEDULE_UNREADABLE"

    @classmethod
    def of(cls, schedule_id: int, cause: Exception) -> "ScheduleUnreadable":
        """Returns the error that names the schedule, and what cannot be read of it."""
        return cls(
            f"Schedule {schedule_id} has something that this release does not know: {cause}. It can be deleted.",
            schedule_id=str(schedule_id),
        )


class TaskNotPending(StateConflict):
    """Only a pending task can be updated."""

    reason = "TASK_NOT_PENDING"


class TaskRunning(StateConflict):
    """A running task cannot be deleted; cancel it first."""

    reason = "TASK_RUNNING"


class TaskFinished(StateConflict):
    """A task that has completed or failed cannot be cancelled."""

    reason = "TASK_FINISHED"


class TaskNotRetryable(StateConflict):
    """Only a failed or cancelled task can be retried."""

    reason = "TASK_NOT_RETRYABLE"


class VersionMismatch(DuetimeError):
    """The task has changed since that version."""

    reason = "VERSION_MISMATCH"


class RequestIdTaken(DuetimeError):
    """The request_id was used before."""


class RequestIdReused(RequestIdTaken):
    """The request_id was used before, for another request."""

    reason = "REQUEST_ID_REUSED"


class RequestIdOfDeletedTask(RequestIdTaken):
    """The request_id made a task that was deleted."""

    reason = "REQUEST_ID_OF_DELETED_TASK"


class RequestIdOfCancelledTask(RequestIdTaken):
    """The request_id made a task that was cancelled."""

    reason = "REQUEST_ID_OF_CANCELLED_TASK"


class RequestIdOfDeletedSchedule(RequestIdTaken):
    """The request_id made a schedule that was deleted."""

    reason = "REQUEST_ID_OF_DELETED_SCHEDULE"


class TaskIdsExhausted(DuetimeError):
    """All 4,294,967,295 task ids are given away."""

    reason = "TASK_IDS_EXHAUSTED"


class WatcherTooSlow(DuetimeError):
    """The watch was not read for too long. Go on with the cursor of the last event, in another watch."""

    reason = "WATCHER_TOO_SLOW"


class ServerBusy(DuetimeError):
    """The server answers as many calls of that kind as it can; nothing was changed. Try again."""

    reason = "SERVER_BUSY"
    retry_seconds = 1
    """After which to try again."""


class StoreUnavailable(DuetimeError):
    """The database cannot be reached; nothing was changed. Try again."""

    reason = "STORE_UNAVAILABLE"


class LogBusy(DuetimeError):
    """Somebody reads the log, or changes its partitions: they cannot be changed now."""

    reason = "LOG_BUSY"
