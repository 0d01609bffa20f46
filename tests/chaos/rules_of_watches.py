"""The rule about watches."""

from collections.abc import Iterator, Mapping, Sequence

from tests.chaos import clock
from tests.chaos.evidence import FINISHED, Evidence, Log
from tests.chaos.watchers import Seen

_SLACK_SECONDS = 1.0
"""How long a change may take to commit: its timestamp is when its transaction began."""


def watches_have_no_gap(evidence: Evidence) -> Iterator[str]:
    """Rule 7: each watch saw every version once and in order, over reconnects, up to the one that finished the task.

    A watch with a filter saw the changes by which a task came to match it, while it did, and by which it left.
    After PostgreSQL restarted, versions that a watch saw before may be repeated.
    """
    for seen in evidence.seen:
        if seen.task_id is None:
            yield from _of_all(evidence, seen)
        else:
            yield from _of_one(evidence, seen, seen.task_id)


def _of_one(evidence: Evidence, seen: Seen, task_id: int) -> Iterator[str]:
    versions = _once(evidence, [event.version for event in seen.events])
    if not versions and task_id in _deleted(evidence) and seen.error.startswith("TASK_NOT_FOUND"):
        return  # it was deleted before the watch began
    if not versions:
        yield f"the watch of task {task_id} saw nothing: {seen.error}"
        return
    if versions != list(range(versions[0], versions[0] + len(versions))):
        yield f"the watch of task {task_id} saw the versions {versions}"
    last = seen.events[-1]
    if last.status not in FINISHED and not evidence.waits_for_a_wrong_time(task_id):
        yield f"the watch of task {task_id} ended at version {last.version}, {last.status}: {seen.error}"
    later = [log for log in evidence.logs.get(task_id, ()) if log.version > versions[0]]
    if later and evidence.offset.of(later[0].timestamp) < seen.opened - _SLACK_SECONDS:
        yield f"the watch of task {task_id} began with version {versions[0]}, which was outdated when it was opened"
    logged = {log.version: log.status for log in evidence.logs.get(task_id, ())}
    for _, version, status, _ in seen.events:
        if logged.get(version) != status:
            yield f"the watch of task {task_id} saw version {version} {status}; the log has {logged.get(version)}"


def _deleted(evidence: Evidence) -> set[int]:
    return {row.task_id for row in evidence.rows.values() if row.deleted_at is not None}


def _of_all(evidence: Evidence, seen: Seen) -> Iterator[str]:
    of = f"the watch of {seen.queue or seen.name or 'all'}"
    if seen.error:
        yield f"{of} ended with {seen.error}"
    by_task: dict[int, list[int]] = {}
    for event in seen.events:
        by_task.setdefault(event.task_id, []).append(event.version)
    versions_to_see: dict[int, list[int]] = {}
    for log in expected(evidence.logs, seen, evidence.offset):
        versions_to_see.setdefault(log.task_id, []).append(log.version)
    for task_id in by_task.keys() | versions_to_see.keys():
        versions, to_see = by_task.get(task_id, []), versions_to_see.get(task_id, [])
        if _once(evidence, versions) != to_see:
            yield f"{of} saw for task {task_id} the versions {versions}, not {to_see}"


def expected(logs: Mapping[int, Sequence[Log]], seen: Seen, offset: clock.Offset) -> Iterator[Log]:
    """Yields the changes for a watch of all: those by which a task entered, was among or left what it watches."""
    for of_task in logs.values():
        was_there = False
        for log in of_task:
            is_there = seen.queue in ("", log.queue) and seen.name in ("", log.name)
            if (is_there or was_there) and (not seen.since or offset.of(log.timestamp) > seen.since):
                yield log
            was_there = is_there


def _once(evidence: Evidence, versions: list[int]) -> list[int]:
    """Returns the versions without repeats, if repeats are allowed."""
    has_restarted = any(incident.what == "outage" for incident in evidence.incidents)
    return list(dict.fromkeys(versions)) if has_restarted else versions
