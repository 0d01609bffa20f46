"""Rules about calls: the effect of an answered call is there, and lasts."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.evidence import FINISHED, Evidence, Log, Row, Run
from tests.chaos.history import Call, Kind, Outcome

_CLOCK_SECONDS = 0.01
"""How far the offset of the two clocks may differ from the measured one."""
_HINT_SECONDS = 1.0
"""How long after a cancel a worker that had claimed the task before may begin it, until the hint reaches it."""


def accepted_tasks_end(evidence: Evidence) -> Iterator[str]:
    """Rule 1: every accepted task ran and is finished, unless a caller stopped it."""
    stopped = {
        call.task_id
        for call in evidence.calls
        if call.kind in (Kind.CANCEL, Kind.DELETE) and call.outcome is not Outcome.FAILED
    }
    ran = {(run.task_id, run.version) for run in evidence.runs}
    ended = {(run.task_id, run.version) for run in evidence.runs if run.ended is not None}
    for task_id in _accepted(evidence):
        row = evidence.rows.get(task_id)
        logs = evidence.logs.get(task_id, [])
        if row is None:
            yield f"task {task_id} was accepted and does not exist"
        elif row.status not in FINISHED and not evidence.waits_for_a_wrong_time(task_id):
            yield f"task {task_id} is still {row.status}"
        elif row.status == "cancelled" and task_id not in stopped:
            yield f"task {task_id} is cancelled without a cancel"
        elif row.deleted_at is not None and task_id not in stopped:
            yield f"task {task_id} is deleted without a delete"
        for before, log in itertools.pairwise(logs):
            if log.change == "completed" and (task_id, before.version) not in ended:
                yield f"task {task_id} completed at version {log.version} without a run that ended"
            has_failed = log.change == "retry_scheduled" or (log.change == "failed" and log.actor == before.actor)
            if has_failed and ((task_id, before.version) not in ran or (task_id, before.version) in ended):
                yield f"task {task_id} failed at version {log.version} without a run that failed"


def _accepted(evidence: Evidence) -> set[int]:
    return {
        call.task_id
        for call in evidence.calls
        if call.kind is Kind.CREATE and call.outcome is Outcome.OK and call.task_id is not None
    }


def stopped_tasks_stay_stopped(evidence: Evidence) -> Iterator[str]:
    """Rule 4: no run starts after a cancel or delete was answered."""
    for call in _answered(evidence, Kind.CANCEL, Kind.DELETE):
        assert call.task_id is not None
        assert call.returned is not None
        # Only its owner cancels, deletes and retries a task, one call at a time.
        decided = [
            log
            for log in evidence.logs.get(call.task_id, ())
            if log.change in ("cancelled", "deleted", "retried") and _at(evidence, log) <= call.returned
        ]
        if not decided or decided[-1].change == "retried":
            yield f"task {call.task_id} was not stopped by the {call.kind} that was answered"
            continue
        stopped = decided[-1].version
        later = [log for log in evidence.logs[call.task_id] if log.version > stopped]
        until = next((log.version for log in later if log.change == "retried"), float("inf"))
        for run in evidence.runs_of.get(call.task_id, ()):
            if stopped < run.version < until:
                yield f"task {call.task_id} was claimed as version {run.version}, after its {call.kind} at {stopped}"
            elif (
                run.version < stopped
                and run.began > call.returned + _HINT_SECONDS
                and not _was_paused(evidence, run, call.returned)
            ):
                yield f"task {call.task_id} began {run.began - call.returned:.3f} s after its {call.kind} was answered"


def _was_paused(evidence: Evidence, run: Run, since: float) -> bool:
    """Returns whether the worker was paused between its claim and the run, so that no hint reached it."""
    return any(
        incident.what == "paused"
        and incident.pid == run.pid
        and incident.since <= run.began
        and incident.until >= since
        for incident in evidence.incidents
    )


def no_update_is_lost(evidence: Evidence) -> Iterator[str]:
    """Rule 5: the task and its runs have the data of answered updates, and no answered retry is lost."""
    for call in _answered(evidence, Kind.RETRY):
        assert call.task_id is not None
        assert call.returned is not None
        retried = [log for log in evidence.logs.get(call.task_id, ()) if log.change == "retried"]
        if not any(
            call.invoked - _CLOCK_SECONDS <= evidence.offset.of(log.timestamp) <= call.returned for log in retried
        ):
            yield f"task {call.task_id} was not retried by the retry that was answered"
    creates = {call.task_id: call for call in evidence.calls if call.kind is Kind.CREATE and call.task_id is not None}
    updates: dict[int, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.kind is Kind.UPDATE and call.outcome is not Outcome.FAILED and call.task_id is not None:
            updates[call.task_id].append(call)
    for task_id, create in creates.items():
        logs = evidence.logs.get(task_id, [])
        if not logs or task_id not in evidence.rows:
            continue  # a violation of rule 1
        requested = [create, *updates[task_id]]
        written = [log for log in logs if log.change in ("created", "updated")]
        answered = sum(call.outcome is Outcome.OK for call in updates[task_id])
        if not 1 + answered <= len(written) <= len(requested):
            yield f"task {task_id} has {len(written) - 1} updates, of which {answered} were answered"
            continue
        # The calls were made one at a time, and only the last may be unanswered.
        yield from _as_written(evidence, task_id, requested, written)


def _as_written(evidence: Evidence, task_id: int, requested: list[Call], written: list[Log]) -> Iterator[str]:
    for call, log in zip(requested, written, strict=False):
        assert call.due_at is not None
        difference = log.execution_time.timestamp() - max(call.due_at, log.timestamp.timestamp())
        if abs(difference) > 1e-5:
            yield f"task {task_id} version {log.version} is due {difference:+.6f} s from the requested time"
        # Rows from before these columns have neither.
        if log.queue is not None and (call.queue, call.name) not in (("", ""), (log.queue, log.name)):
            yield f"task {task_id} version {log.version} is {log.name} of {log.queue}, not {call.name} of {call.queue}"
    token = requested[len(written) - 1].token
    if evidence.rows[task_id].task_data.get("token") != token:
        yield f"task {task_id} has the data of {evidence.rows[task_id].task_data.get('token')}, not of {token}"
    for run in evidence.runs_of.get(task_id, ()):
        in_force = requested[sum(log.version < run.version for log in written) - 1].token
        if run.token != in_force:
            yield f"task {task_id} version {run.version} ran with the data of {run.token}, not of {in_force}"


def a_request_makes_one_task(evidence: Evidence) -> Iterator[str]:
    """Rule 6: one request_id makes one task; an unanswered batch exists completely or not at all."""
    answers: dict[str, set[int]] = defaultdict(set)
    batches: dict[str, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        if call.kind is Kind.CREATE and call.outcome is Outcome.OK and call.task_id is not None:
            answers[call.request_id].add(call.task_id)
        if call.kind is Kind.CREATE and call.batch:
            batches[call.batch].append(call)
    for request_id, task_ids in answers.items():
        if len(task_ids) > 1:
            yield f"{request_id} was answered with the tasks {sorted(task_ids)}"
    made: dict[str, list[Row]] = defaultdict(list)
    for row in evidence.rows.values():
        if "origin" in row.task_data:  # others are not from the workload
            made[row.task_data["origin"]].append(row)
    for origin, rows in made.items():
        if len(rows) > 1:
            yield f"{origin} made {len(rows)} tasks, among them {rows[0].task_id} and {rows[1].task_id}"
        elif answers[origin] - {rows[0].task_id}:
            yield f"{origin} made task {rows[0].task_id} and was answered with {sorted(answers[origin])}"
    for batch, calls in batches.items():
        there = {call.request_id in evidence.known_before_retries for call in calls}
        if len(there) > 1:
            yield f"{batch} exists only in part"


def _answered(evidence: Evidence, *kinds: Kind) -> Iterator[Call]:
    for call in evidence.calls:
        if call.kind in kinds and call.outcome is Outcome.OK and call.task_id is not None:
            yield call


def _at(evidence: Evidence, log: Log) -> float:
    return evidence.offset.of(log.timestamp) - evidence.offset.error
