"""Why a task does not run: from what the database knows to sentences for people."""

import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from duetime_core.model import names, queue, task, worker

_MOST_NAMED = 3
"""How many workers a sentence names."""


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a task and its queue, at one moment by the database's clock."""

    task: task.Task
    now: datetime.datetime
    limits: queue.QueueLimits
    running: int  # in its queue
    running_of_key: int
    bucket: queue.TokenBucket | None
    key_tokens: queue.TokenBucket | None
    waits_for_run: bool  # it is the next occurrence of a schedule, and an earlier run has not ended
    workers: Sequence[worker.Worker]  # that live


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a task from running, or says that it does."""

    code: str
    message: str


def explain(facts: Facts) -> list[Reason]:
    """Returns all that is known, what the task waits for first coming first; never nothing."""
    match facts.task.status:
        case task.Status.PENDING:
            reasons = [*_time(facts), *_queue(facts), *_workers(facts)]
            return reasons or [
                Reason("ABOUT_TO_START", "It is due, and nothing keeps it: workers look each second at the latest.")
            ]
        case task.Status.RUNNING:
            return [_running(facts)]
        case _:
            return [_finished(facts.task)]


def _time(facts: Facts) -> Iterator[Reason]:
    due = facts.task.execution_time
    if due <= facts.now:
        return
    until = f"at {_moment(due)}, in {_span(due - facts.now)}"
    if facts.task.retry_count:
        retry = f"Retry {facts.task.retry_count} of {facts.task.max_retries} is due {until}"
        because = f": the run before it failed with {facts.task.error_message!r}." if facts.task.error_message else "."
        yield Reason("WAITING_FOR_RETRY", retry + because)
    else:
        yield Reason("NOT_DUE", f"It is due {until}.")


def _queue(facts: Facts) -> Iterator[Reason]:
    name, key, limits = facts.task.queue, facts.task.concurrency_key, facts.limits
    if limits.is_paused:
        yield Reason("QUEUE_PAUSED", f"Its queue {name!r} is paused; ResumeQueue lets it go on.")
    if facts.waits_for_run:
        yield Reason("OVERLAP", "It waits until an earlier run of its schedule has ended, because overlap is queue.")
    if limits.max_running is not None and facts.running >= limits.max_running:
        limit = f"{facts.running} run of at most {limits.max_running}"
        yield Reason("QUEUE_LIMIT", f"Its queue {name!r} is at its limit: {limit}.")
    if facts.bucket is not None and facts.bucket.tokens < 1:
        rate = f"at most {limits.max_per_second:g} start a second"
        yield Reason("QUEUE_RATE", f"Its queue {name!r} is at its rate: {rate}.")
    if key is None:
        return
    if limits.max_running_per_key is not None and facts.running_of_key >= limits.max_running_per_key:
        limit = f"{facts.running_of_key} run of at most {limits.max_running_per_key}"
        yield Reason("KEY_LIMIT", f"Its key {key!r} is at its limit in queue {name!r}: {limit}.")
    if facts.key_tokens is not None and facts.key_tokens.tokens < 1:
        rate = f"at most {limits.max_per_second_per_key:g} start a second"
        yield Reason("KEY_RATE", f"Its key {key!r} is at its rate in queue {name!r}: {rate}.")


def _workers(facts: Facts) -> Iterator[Reason]:
    name, handler = facts.task.queue, facts.task.name
    serving = [each for each in facts.workers if name in each.queues]
    if not serving:
        served = sorted({queue for each in facts.workers for queue in each.queues})
        others = f"those that live serve {', '.join(map(repr, served))}" if served else "no worker lives"
        yield Reason("NO_WORKER_FOR_QUEUE", f"No live worker serves its queue {name!r}: {others}.")
        return
    able = [each for each in serving if handler in each.handlers]
    if not able:
        known = sorted({name for each in serving for name in each.handlers})
        near = names.nearest(handler, known)
        meant = f" Is {near!r} meant?" if near else ""
        yield Reason(
            "NO_WORKER_WITH_HANDLER",
            f"No live worker of its queue {name!r} has a handler {handler!r}: a run there fails, and spends a retry. "
            f"They have {', '.join(map(repr, known))}.{meant}",
        )
    if facts.task.execution_time <= facts.now and all(each.running >= each.concurrency for each in serving):
        slots = sum(each.concurrency for each in serving)
        yield Reason("WORKERS_BUSY", f"All {slots} slots of {_named(serving)} are in use.")


def _running(facts: Facts) -> Reason:
    held, run = facts.task, f"run {facts.task.retry_count + 1}"
    since = "" if held.executed_at is None else f" since {_moment(held.executed_at)}"
    if held.lease_expires_at is not None and held.lease_expires_at < facts.now:
        return Reason(
            "LEASE_EXPIRED",
            f"Worker {held.worker_id} began {run}{since}, and has not extended its lease, which ended at "
            f"{_moment(held.lease_expires_at)}: any live worker takes the task back within seconds.",
        )
    lease = "" if held.lease_expires_at is None else f"; its lease lasts until {_moment(held.lease_expires_at)}"
    known = any(each.worker_id == held.worker_id for each in facts.workers)
    silent = "" if known else " That worker gave no sign of life lately."
    return Reason("RUNNING", f"It runs on worker {held.worker_id}{since}, {run}{lease}.{silent}")


def _finished(ended: task.Task) -> Reason:
    why = f": {ended.error_message}" if ended.error_message else ""
    again = "" if ended.status is task.Status.COMPLETED else " RetryTask runs it again."
    return Reason("FINISHED", f"It is {ended.status} since {_moment(ended.updated_at)}{why}.{again}".replace("..", "."))


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
