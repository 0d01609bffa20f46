"""Rules about runs: none is early, and each is explained."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator

from tests.chaos.evidence import Evidence, Log, Run

_SLACK_SECONDS = 1.0
"""How long after its claim a worker may be paused before its handler begins."""


def nothing_is_early(evidence: Evidence) -> Iterator[str]:
    """Rule 2: no run starts before the due time in force, by the database's clock, wherever that was stepped."""
    for run, started in _claims(evidence):
        if started is not None:
            due = evidence.offset.earliest(started.execution_time)
            if run.began < due - evidence.offset.error:
                yield f"task {run.task_id} version {run.version} began {due - run.began:.4f} s early"
    for task_id, logs in evidence.logs.items():
        for log in logs:
            is_early = log.change == "started" and log.timestamp < log.execution_time
            # A claim that was in progress when the clock was set back found its tasks due before.
            if is_early and not evidence.offset.has_just_stepped(evidence.offset.of(log.timestamp)):
                yield f"task {task_id} was claimed {log.execution_time - log.timestamp} early"


def every_run_is_explained(evidence: Evidence) -> Iterator[str]:
    """Rule 8: one run per claim, retries within their limit, a reason for each lost lease and release."""
    for (task_id, version), count in Counter((run.task_id, run.version) for run in evidence.runs).items():
        if count > 1:
            yield f"task {task_id} ran {count} times for the one claim of version {version}"
    for run, started in _claims(evidence):
        if started is None:
            yield f"task {run.task_id} ran as version {run.version}, which no claim has"
        elif pid_of(started.actor) != run.pid:
            yield f"task {run.task_id} version {run.version} was claimed by {started.actor} and ran in {run.pid}"
    for row in evidence.rows.values():
        if row.retry_count > row.max_retries:
            yield f"task {row.task_id} was retried {row.retry_count} of {row.max_retries} times"
    for task_id, logs in evidence.logs.items():
        yield from _retries(task_id, logs, evidence.rows[task_id].max_retries if task_id in evidence.rows else 0)
        for before, log in itertools.pairwise(logs):
            if is_loss(before, log) and not _may_have_lost(evidence, before, log) and not _has_ended(evidence, before):
                yield f"task {task_id} lost the lease of {before.actor}, although no fault hit that worker"
            if log.change == "released" and not _may_have_released(evidence, log):
                yield f"task {task_id} was released by {log.actor}, which was not stopped"


def is_loss(before: Log, log: Log) -> bool:
    """Returns whether the lease was lost. If that spent the last retry, the change is `failed`, by another worker."""
    return log.change == "lease_lost" or (log.change == "failed" and log.actor != before.actor)


def _claims(evidence: Evidence) -> Iterator[tuple[Run, Log | None]]:
    started = {
        (log.task_id, log.version): log for logs in evidence.logs.values() for log in logs if log.change == "started"
    }
    for run in evidence.runs:
        yield run, started.get((run.task_id, run.version))


def _retries(task_id: int, logs: list[Log], max_retries: int) -> Iterator[str]:
    spent = 0
    for log in logs:
        match log.change:
            case "retried":
                spent = 0
            case "retry_scheduled" | "lease_lost":
                spent += 1
                if spent > max_retries:
                    yield f"task {task_id} spent {spent} retries of {max_retries}"
            case "failed" if spent < max_retries:
                yield f"task {task_id} failed after {spent} retries of {max_retries}"
        if log.retry_count != spent:
            yield f"task {task_id} has retry_count {log.retry_count} at version {log.version}, after {spent} retries"


def pid_of(actor: str) -> int:
    """Returns the process id that a worker's name holds, or 0 for other actors."""
    match = re.fullmatch(r".*-(\d+)-[0-9a-f]+", actor)
    return int(match[1]) if match else 0


def _may_have_lost(evidence: Evidence, started: Log, lost: Log) -> bool:
    """Returns whether the worker was killed, paused during the run, or its connections repeatedly broken just before.

    An outage of the database does not explain it, because live workers keep their leases over it, except for a
    worker that was terminated and could not record its outcomes.
    """
    at = evidence.offset.of(lost.timestamp)
    began = evidence.offset.of(started.timestamp) - _SLACK_SECONDS
    lease = evidence.lease_seconds + 2 * evidence.sweep_seconds
    earlier = [incident for incident in evidence.incidents if incident.since <= at]
    own = [incident for incident in earlier if incident.pid == pid_of(started.actor)]
    stopped = [incident.since for incident in own if incident.what == "terminated"]
    return (
        any(incident.what == "killed" or (incident.what == "paused" and incident.until >= began) for incident in own)
        or any(incident.what == "cut" and at <= incident.until + lease for incident in earlier)
        or any(incident.what == "outage" and incident.until >= since for incident in earlier for since in stopped)
    )


def _has_ended(evidence: Evidence, started: Log) -> bool:
    """Returns whether the run has ended by a change that a failover lost."""
    return any((log.task_id, log.version) == (started.task_id, started.version + 1) for log in evidence.lost)


def _may_have_released(evidence: Evidence, log: Log) -> bool:
    """Returns whether the worker was terminated, or a claim's response may have been lost with a connection."""
    at = evidence.offset.of(log.timestamp)
    lease = evidence.lease_seconds + 2 * evidence.sweep_seconds
    return any(
        (incident.pid == pid_of(log.actor) and incident.what == "terminated" and incident.since <= at)
        or (incident.what in ("cut", "outage", "silenced") and incident.since <= at <= incident.until + lease)
        for incident in evidence.incidents
    )
