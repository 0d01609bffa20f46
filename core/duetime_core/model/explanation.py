"""Why a task is not running: the reasons, as sentences, from the state of the task, its queue and the workers."""

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from duetime_core.model import names, queue, task, worker

_MOST_NAMED = 3
"""How many workers a sentence names."""
_ENDED = {
    task.Status.COMPLETED: "completed",
    task.Status.FAILED: "failed",
    task.Status.CANCELLED: "was cancelled",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """The state of a task, its queue and the workers, at one moment by the database's clock."""

    task: task.Task
    now: datetime.datetime
    limits: queue.QueueLimits
    running: int  # in its queue
    running_of_key: int
    bucket: queue.TokenBucket | None
    key_bucket: queue.TokenBucket | None
    advance_error: str | None  # why its schedule, whose next occurrence it is, cannot be advanced
    waits_for_run: bool  # it is the next occurrence of a schedule, and an earlier run has not ended
    workers: Sequence[worker.Worker]  # the live ones


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One reason why a task is not running, or its state if it is running or finished."""

    code: str
    message: str


def explain(facts: Facts) -> list[Reason]:
    """Returns at least one reason, in the order in which they block the task."""
    match facts.task.status:
        case task.Status.PENDING:
            reasons = [*_time(facts), *_queue(facts), *_workers(facts)]
            return reasons or [
                Reason("ABOUT_TO_START", "The task is due and nothing blocks it. A worker claims it within a second.")
            ]
        case task.Status.RUNNING:
            return [_running(facts)]
        case _:
            return [_finished(facts.task)]


def without_errors(facts: Facts) -> Facts:
    """Returns the facts without errors of runs and schedules, which may quote payloads."""
    advance_error = None if facts.advance_error is None else "its error is shown to those who may read payloads"
    held = dataclasses.replace(facts.task, error_message=None)
    return dataclasses.replace(facts, task=held, advance_error=advance_error)


def _time(facts: Facts) -> Iterator[Reason]:
    due = facts.task.execution_time
    if due <= facts.now:
        return
    until = f"at {_moment(due)}, in {_span(due - facts.now)}"
    if facts.task.retry_count:
        retry = f"Retry {facts.task.retry_count} of {facts.task.max_retries} is due {until}"
        because = f": the previous run failed with {facts.task.error_message!r}." if facts.task.error_message else "."
        yield Reason("WAITING_FOR_RETRY", retry + because)
    else:
        yield Reason("NOT_DUE", f"The task is due {until}.")


def _queue(facts: Facts) -> Iterator[Reason]:
    name, key, limits = facts.task.queue, facts.task.concurrency_key, facts.limits
    if limits.is_paused:
        yield Reason("QUEUE_PAUSED", f"Queue {name!r} is paused. Resume it with ResumeQueue.")
    if facts.advance_error is not None:
        yield Reason(
            "SCHEDULE_ERROR",
            f"Schedule {facts.task.schedule_id} could not be advanced, which is retried: {facts.advance_error}",
        )
    if facts.waits_for_run:
        yield Reason("OVERLAP", "The task waits for an earlier run of its schedule to end, because overlap is queue.")
    if limits.max_running is not None and facts.running >= limits.max_running:
        count = f"{facts.running} of {limits.max_running} tasks running"
        yield Reason("QUEUE_LIMIT", f"Queue {name!r} is at its limit: {count}.")
    if facts.bucket is not None and facts.bucket.tokens < 1:
        rate = f"at most {limits.max_per_second:g} tasks start per second"
        yield Reason("QUEUE_RATE", f"Queue {name!r} is at its rate limit: {rate}.")
    if key is None:
        return
    if limits.max_running_per_key is not None and facts.running_of_key >= limits.max_running_per_key:
        count = f"{facts.running_of_key} of {limits.max_running_per_key} tasks running"
        yield Reason("KEY_LIMIT", f"Concurrency key {key!r} is at its limit in queue {name!r}: {count}.")
    if facts.key_bucket is not None and facts.key_bucket.tokens < 1:
        rate = f"at most {limits.max_per_second_per_key:g} tasks start per second"
        yield Reason("KEY_RATE", f"Concurrency key {key!r} is at its rate limit in queue {name!r}: {rate}.")


def _workers(facts: Facts) -> Iterator[Reason]:
    name, handler = facts.task.queue, facts.task.name
    serving = [each for each in facts.workers if name in each.queues]
    if not serving:
        served = sorted({queue for each in facts.workers for queue in each.queues})
        others = f"live workers serve {', '.join(map(repr, served))}" if served else "there are no live workers"
        yield Reason("NO_WORKER_FOR_QUEUE", f"No live worker serves queue {name!r}: {others}.")
        return
    able = [each for each in serving if handler in each.handlers]
    if not able:
        known = sorted({name for each in serving for name in each.handlers})
        near = names.nearest(handler, known)
        meant = f" Did you mean {near!r}?" if near else ""
        yield Reason(
            "NO_WORKER_WITH_HANDLER",
            f"No live worker of queue {name!r} has a handler {handler!r}: a run there fails and spends a retry. "
            f"They have {', '.join(map(repr, known))}.{meant}",
        )
    if facts.task.execution_time <= facts.now and all(each.is_busy for each in serving):
        slots, running = sum(each.concurrency for each in serving), sum(each.running for each in serving)
        text = f"All {slots} slots of {_named(serving)} are in use."
        if running < slots:
            text = (
                f"{running} of {slots} slots of {_named(serving)} are in use. A worker with free slots claims nothing "
                "while all its threads for plain functions are in use, while claimed tasks wait to begin, while the "
                "data of its runs or of outcomes that are not recorded is too large, or while it stops."
            )
        yield Reason("WORKERS_BUSY", text)


def _running(facts: Facts) -> Reason:
    held, run = facts.task, f"run {facts.task.retry_count + 1}"
    since = "" if held.executed_at is None else f" since {_moment(held.executed_at)}"
    if held.lease_expires_at is not None and held.lease_expires_at < facts.now:
        return Reason(
            "LEASE_EXPIRED",
            f"The lease of worker {held.worker_id} on {run} expired at {_moment(held.lease_expires_at)}. "
            "A live worker reclaims the task within seconds.",
        )
    lease = "" if held.lease_expires_at is None else f"; its lease expires at {_moment(held.lease_expires_at)}"
    known = any(each.worker_id == held.worker_id for each in facts.workers)
    silent = "" if known else " That worker has sent no heartbeat lately."
    over = ""
    if held.executed_at is not None and held.timeout is not None and facts.now - held.executed_at > held.timeout:
        over = (
            f" Its timeout of {held.timeout.total_seconds():g} s is over, but its handler has not ended: a plain "
            "function runs, and counts under the limits of its queue, until it returns."
        )
    return Reason("RUNNING", f"The task is running on worker {held.worker_id}{since}, {run}{lease}.{silent}{over}")


def _finished(ended: task.Task) -> Reason:
    why = f": {ended.error_message}" if ended.error_message else ""
    again = "" if ended.status is task.Status.COMPLETED else " RetryTask runs it again."
    message = f"The task {_ENDED[ended.status]} at {_moment(ended.updated_at)}{why}.{again}"
    return Reason("FINISHED", message.replace("..", "."))


def _named(workers: Sequence[worker.Worker]) -> str:
    names = [each.worker_id for each in workers]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"worker{'s' * (len(names) > 1)} {', '.join(names[:_MOST_NAMED])}{more}"


def _moment(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _span(span: datetime.timedelta) -> str:
    seconds = span.total_seconds()
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
