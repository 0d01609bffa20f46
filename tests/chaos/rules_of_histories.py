"""Rules about the log: each task's history is legal, and no lease is forgotten."""

import itertools
from collections.abc import Iterator

from tests.chaos.evidence import FINISHED, Evidence, Log

# change → (from, to). Copied by hand from docs/states.md; a deleted task keeps its status.
_LEGAL: dict[str, set[tuple[str, str]]] = {
    "updated": {("pending", "pending")},
    "started": {("pending", "running")},
    "completed": {("running", "completed")},
    "failed": {("running", "failed")},
    "retry_scheduled": {("running", "pending")},
    "lease_lost": {("running", "pending")},
    "released": {("running", "pending")},
    "cancelled": {("pending", "cancelled"), ("running", "cancelled")},
    "deleted": {("pending", "cancelled"), *((status, status) for status in FINISHED)},
    "retried": {("failed", "pending"), ("cancelled", "pending")},
}
_BY_THE_WORKER = {"completed", "retry_scheduled", "released"}


def histories_are_sound(evidence: Evidence) -> Iterator[str]:
    """Rule 3: versions without a gap, legal moves, one completion, and a row that matches its last log."""
    for task_id, logs in evidence.logs.items():
        if [log.version for log in logs] != list(range(1, len(logs) + 1)):
            yield f"task {task_id} has the versions {[log.version for log in logs]}"
        if (logs[0].change, logs[0].status) != ("created", "pending"):
            yield f"task {task_id} begins with {logs[0].change}"
        for before, after in itertools.pairwise(logs):
            if (before.status, after.status) not in _LEGAL.get(after.change, set()):
                yield f"task {task_id} moved from {before.status} to {after.status} by {after.change}"
            if after.change in _BY_THE_WORKER and before.actor != after.actor:
                yield f"task {task_id} ran in {before.actor}, and {after.actor} recorded {after.change}"
        yield from _completions(task_id, logs)
        row = evidence.rows.get(task_id)
        if row is None:
            yield f"task {task_id} has a history and no row"
        elif (row.status, row.version) != (last := (logs[-1].status, logs[-1].version)):
            yield f"task {task_id} is {row.status} at version {row.version}; its last log is {last}"
    for task_id in evidence.rows.keys() - evidence.logs.keys():
        yield f"task {task_id} has no history"


def _completions(task_id: int, logs: list[Log]) -> Iterator[str]:
    completed = 0
    for log in logs:
        match log.change:
            case "retried":
                completed = 0
            case "completed":
                completed += 1
                if completed > 1:
                    yield f"task {task_id} completed again at version {log.version}"


def no_lease_is_forgotten(evidence: Evidence) -> Iterator[str]:
    """Rule 9: after the faults, no task keeps a lease that expired more than two sweeps ago."""
    # A worker that was disconnected waits for a lease, because others may have been disconnected just as long.
    since = evidence.healed + evidence.lease_seconds + 2 * evidence.sweep_seconds
    for overdue in evidence.overdue:
        if overdue.at > since and overdue.seconds > 2 * evidence.sweep_seconds:
            yield f"a task whose lease expired {overdue.seconds:.1f} s ago was not reclaimed"
            return
