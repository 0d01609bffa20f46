"""The rule about watches."""

from collections.abc import Iterator

from tests.chaos.evidence import FINISHED, Evidence
from tests.chaos.watchers import Seen

_SLACK_SECONDS = 1.0
"""How long a change may take to commit: its timestamp is when its transaction began."""


def watches_have_no_gap(evidence: Evidence) -> Iterator[str]:
    """Rule 7: each watch saw every version once and in order, over reconnects, up to the one that finished the task.

    After PostgreSQL restarted, versions that it saw before may be repeated.
    """
    for seen in evidence.seen:
        if seen.task_id is None:
            yield from _of_all(evidence, seen)
        else:
            yield from _of_one(evidence, seen, seen.task_id)


def _of_one(evidence: Evidence, seen: Seen, task_id: int) -> Iterator[str]:
    versions = _once(evidence, [version for _, version, _ in seen.events])
    if not versions and task_id in _deleted(evidence) and seen.error.startswith("TASK_NOT_FOUND"):
        return  # it was deleted before the watch began
    if not versions:
        yield f"the watch of task {task_id} saw nothing: {seen.error}"
        return
    if versions != list(range(versions[0], versions[0] + len(versions))):
        yield f"the watch of task {task_id} saw the versions {versions}"
    _, last, status = seen.events[-1]
    if status not in FINISHED:
        yield f"the watch of task {task_id} ended at version {last}, {status}: {seen.error}"
    later = [log for log in evidence.logs.get(task_id, ()) if log.version > versions[0]]
    if later and evidence.offset.of(later[0].timestamp) < seen.opened - _SLACK_SECONDS:
        yield f"the watch of task {task_id} began with version {versions[0]}, which was outdated when it was opened"
    logged = {log.version: log.status for log in evidence.logs.get(task_id, ())}
    for _, version, status in seen.events:
        if logged.get(version) != status:
            yield f"the watch of task {task_id} saw version {version} {status}; the log has {logged.get(version)}"


def _deleted(evidence: Evidence) -> set[int]:
    return {row.task_id for row in evidence.rows.values() if row.deleted_at is not None}


def _of_all(evidence: Evidence, seen: Seen) -> Iterator[str]:
    if seen.error:
        yield f"the watch of all ended with {seen.error}"
    by_task: dict[int, list[int]] = {}
    for task_id, version, _ in seen.events:
        by_task.setdefault(task_id, []).append(version)
    for task_id, logs in evidence.logs.items():
        expected = [log.version for log in logs]
        versions = by_task.get(task_id, [])
        if _once(evidence, versions) != expected:
            yield f"the watch of all saw for task {task_id} the versions {versions}, not {expected}"


def _once(evidence: Evidence, versions: list[int]) -> list[int]:
    """Returns the versions without repeats, if repeats are allowed."""
    has_restarted = any(incident.what == "outage" for incident in evidence.incidents)
    return list(dict.fromkeys(versions)) if has_restarted else versions
