"""What a failover has lost: the calls, runs and events whose changes are not in the history of the new primary.

Nothing else may be missing. After a synchronous one every answer has to be true, only watches may have seen more.
"""

import dataclasses
from collections.abc import Iterable, Iterator

from tests.chaos import rules_of_runs
from tests.chaos.evidence import FINISHED, Evidence, Failover, Log, Run
from tests.chaos.history import Call, Kind, Outcome
from tests.chaos.watchers import Seen

_CLOCK_SECONDS = 0.01
"""How far the offset of the two clocks may differ from the measured one."""
_CHANGES = {
    Kind.CREATE: ("created",),
    Kind.UPDATE: ("updated",),
    Kind.CANCEL: ("cancelled", "deleted"),
    Kind.DELETE: ("cancelled", "deleted"),
    Kind.RETRY: ("retried",),
}
_REFUSED = "cursor: must come from"
"""How a watch ends whose place is not in the new history: that is not silent, and it begins again without a cursor."""


def lost(evidence: Evidence) -> frozenset[Log]:
    """Returns the changes of the old primary that the new one does not have."""
    if evidence.failover is None:
        return frozenset()
    present = {log for logs in evidence.logs.values() for log in logs}
    return evidence.failover.changes - present


def without_them(evidence: Evidence) -> Evidence:
    """Returns the evidence without the calls and runs that were lost."""
    if evidence.failover is None:
        return evidence
    gone: dict[int, list[Log]] = {}
    for log in sorted(lost(evidence), key=lambda log: (log.task_id, log.version)):
        gone.setdefault(log.task_id, []).append(log)
    calls = evidence.calls
    if not evidence.failover.keeps_answers:
        calls = _calls(evidence, evidence.failover, gone)
    runs, seen = _runs(evidence, gone), list(_seen(evidence, gone))
    return dataclasses.replace(evidence, calls=calls, runs=runs, seen=seen, lost=lost(evidence))


def _calls(evidence: Evidence, failover: Failover, gone: dict[int, list[Log]]) -> list[Call]:
    calls = []
    for call in evidence.calls:
        logs = gone.get(call.task_id or 0, ())
        if not logs or call.invoked >= failover.promoted or not _is_lost(evidence, failover, call, logs):
            calls.append(call)
        elif call.kind in (Kind.CANCEL, Kind.DELETE):
            # Repeated by the client, it may have stopped the task that has the id now.
            calls.append(dataclasses.replace(call, outcome=Outcome.UNKNOWN))
    return calls


def _is_lost(evidence: Evidence, failover: Failover, call: Call, logs: Iterable[Log]) -> bool:
    """Returns whether the change of the call, or the one on which its answer rests, is lost."""
    if call.kind is Kind.CREATE:
        is_created = any(log.change == "created" for log in logs)
        return is_created and failover.request_ids.get(call.task_id or 0) == call.request_id
    if any(log.change == "created" for log in logs):
        return True
    until = failover.promoted if call.returned is None else call.returned
    changes = _CHANGES[call.kind]
    if call.kind in (Kind.CANCEL, Kind.DELETE):  # the task may have been stopped already
        return any(log.change in changes and evidence.offset.of(log.timestamp) <= until for log in logs)
    return any(
        log.change in changes and call.invoked - _CLOCK_SECONDS <= evidence.offset.of(log.timestamp) <= until
        for log in logs
    )


def _runs(evidence: Evidence, gone: dict[int, list[Log]]) -> list[Run]:
    assert evidence.failover is not None
    claims = {
        *(
            (log.task_id, log.version, log.actor, log.timestamp)
            for logs in gone.values()
            for log in logs
            if _is_start(log)
        ),
        *((each.task_id, each.version, each.worker_id, each.started_at) for each in evidence.failover.leases),
    }
    present = {
        (log.task_id, log.version, rules_of_runs.pid_of(log.actor)): log
        for logs in evidence.logs.values()
        for log in logs
        if _is_start(log)
    }
    lost_claims: set[tuple[int, int, int]] = set()
    for task_id, version, actor, started_at in claims:
        key = (task_id, version, rules_of_runs.pid_of(actor))
        if key not in present or present[key].timestamp != started_at:
            lost_claims.add(key)

    def is_kept(run: Run) -> bool:
        key = (run.task_id, run.version, run.pid)
        if key not in lost_claims:
            return True
        # The same worker may have claimed the task again, in the new history.
        return key in present and run.began >= evidence.offset.of(present[key].timestamp) - evidence.offset.error

    return [run for run in evidence.runs if is_kept(run)]


def _is_start(log: Log) -> bool:
    return log.change == "started"


def _seen(evidence: Evidence, gone: dict[int, list[Log]]) -> Iterator[Seen]:
    """Yields the watches, without the events of lost changes. Another task may have the id of a task that was lost."""
    rows = {(log.task_id, log.version, log.timestamp) for logs in gone.values() for log in logs}
    never_created = {log.task_id for logs in gone.values() for log in logs if log.change == "created"}
    for seen in evidence.seen:
        kept = [event for event in seen.events if (event.task_id, event.version, event.timestamp) not in rows]
        if _REFUSED in seen.error or seen.task_id in never_created:
            continue
        if seen.task_id is None or len(kept) == len(seen.events):
            yield dataclasses.replace(seen, events=kept)
        elif (
            seen.events[-1] in kept or seen.events[-1].status not in FINISHED
        ):  # the task has not ended by a lost change
            # The whole history may have come again.
            whole = sorted(set(kept), key=lambda event: event.version)
            yield dataclasses.replace(seen, events=whole, opened=0.0)
