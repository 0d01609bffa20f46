"""The checker alone: a sound history, and changes that make it unsound."""

import dataclasses
import datetime
from collections.abc import Callable

import pytest

from tests.chaos import checker, clock
from tests.chaos.evidence import Evidence, Log, Overdue, Row, Run
from tests.chaos.history import Call, Kind, Outcome
from tests.chaos.watchers import Event, Seen
from tests.chaos.world import Incident

EPOCH = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
WORKER = "host-7-abc"


def at(seconds: float) -> datetime.datetime:
    return EPOCH + datetime.timedelta(seconds=seconds)


def log(version: int, change: str, status: str, seconds: float, *, actor: str = "api", due: float = 2) -> Log:
    return Log(1, version, status, change, at(seconds), at(due), 0, actor)


def events(logs: list[Log]) -> list[Event]:
    return [Event(1, each.version, each.status, each.timestamp) for each in logs]


def sound() -> Evidence:
    """A task that is created, updated, and runs once it is due."""
    logs = [
        log(1, "created", "pending", 0, due=1),
        log(2, "updated", "pending", 0.5),
        log(3, "started", "running", 2, actor=WORKER),
        log(4, "completed", "completed", 3, actor=WORKER),
    ]
    create = Call(0, Kind.CREATE, 1, 0, 0.1, Outcome.OK, origin="a", request_id="a", token=1, due_at=at(1).timestamp())
    update = Call(1, Kind.UPDATE, 1, 0.4, 0.6, Outcome.OK, token=2, due_at=at(2).timestamp())
    return Evidence(
        calls=[create, update],
        runs=[Run(1, 3, 7, 2, 2.001, 2.9)],
        rows={1: Row(1, "completed", 4, 0, 3, at(2), {"origin": "a", "token": 2}, "a", None)},
        logs={1: logs},
        seen=[Seen(1, 0, events(logs))],
        incidents=[],
        offset=clock.Offset(EPOCH.timestamp(), 0.0001),
        healed=0,
        lease_seconds=3,
        sweep_seconds=1,
    )


def changed_row(evidence: Evidence, **changes: object) -> None:
    evidence.rows[1] = dataclasses.replace(evidence.rows[1], **changes)  # type: ignore[arg-type]


def lost(evidence: Evidence) -> None:
    evidence.rows.clear()


def endless(evidence: Evidence) -> None:
    changed_row(evidence, status="running", version=3)
    evidence.logs[1].pop()


def without_a_run(evidence: Evidence) -> None:
    evidence.runs.clear()


def early(evidence: Evidence) -> None:
    evidence.runs[0] = dataclasses.replace(evidence.runs[0], began=1.99)


def with_a_gap(evidence: Evidence) -> None:
    del evidence.logs[1][1]


def completed_twice(evidence: Evidence) -> None:
    evidence.logs[1] += [log(5, "started", "running", 4, actor=WORKER), log(6, "completed", "completed", 5)]


def recorded_by_another(evidence: Evidence) -> None:
    evidence.logs[1][-1] = dataclasses.replace(evidence.logs[1][-1], actor="host-8-abc")


def unlike_its_log(evidence: Evidence) -> None:
    changed_row(evidence, status="failed")


def run_after_a_cancel(evidence: Evidence) -> None:
    evidence.logs[1][2:] = [
        log(3, "cancelled", "cancelled", 1),
        log(4, "started", "running", 2, actor=WORKER),
        log(5, "completed", "completed", 3, actor=WORKER),
    ]
    evidence.runs[0] = dataclasses.replace(evidence.runs[0], version=4)
    evidence.calls.append(Call(2, Kind.CANCEL, 1, 0.9, 1.1, Outcome.OK))


def cancelled_for_nothing(evidence: Evidence) -> None:
    evidence.calls.append(Call(2, Kind.CANCEL, 1, 0.9, 1.1, Outcome.OK))


def without_its_update(evidence: Evidence) -> None:
    changed_row(evidence, task_data={"origin": "a", "token": 1})


def run_with_old_data(evidence: Evidence) -> None:
    evidence.runs[0] = dataclasses.replace(evidence.runs[0], token=1)


def due_at_another_time(evidence: Evidence) -> None:
    evidence.logs[1][1] = dataclasses.replace(evidence.logs[1][1], execution_time=at(1))


def created_twice(evidence: Evidence) -> None:
    evidence.rows[2] = dataclasses.replace(evidence.rows[1], task_id=2)


def answered_twice(evidence: Evidence) -> None:
    evidence.calls.append(dataclasses.replace(evidence.calls[0], task_id=2))


def created_in_part(evidence: Evidence) -> None:
    evidence.known_before_retries = frozenset({"a"})
    other = dataclasses.replace(evidence.calls[0], task_id=None, request_id="b", batch="x", outcome=Outcome.UNKNOWN)
    evidence.calls[0].batch = "x"
    evidence.calls.append(other)


def seen_with_a_gap(evidence: Evidence) -> None:
    del evidence.seen[0].events[1]


def seen_twice(evidence: Evidence) -> None:
    evidence.seen[0].events.insert(1, evidence.seen[0].events[0])


def not_seen_to_its_end(evidence: Evidence) -> None:
    evidence.seen[0].events.pop()


def not_seen_at_all(evidence: Evidence) -> None:
    evidence.seen.append(Seen(None))


def moved(evidence: Evidence) -> list[Log]:
    """Moves the task to another queue for a while; returns what a watch of that queue has to see."""
    evidence.logs[1][1] = dataclasses.replace(evidence.logs[1][1], queue="second")
    return evidence.logs[1][1:3]


def not_seen_to_enter(evidence: Evidence) -> None:
    evidence.seen.append(Seen(None, 0, events(moved(evidence)[1:]), queue="second"))


def not_seen_to_leave(evidence: Evidence) -> None:
    evidence.seen.append(Seen(None, 0, events(moved(evidence)[:1]), queue="second"))


def seen_elsewhere(evidence: Evidence) -> None:
    moved(evidence)
    evidence.seen.append(Seen(None, 0, events(evidence.logs[1][1:]), queue="second"))


def moved_elsewhere(evidence: Evidence) -> None:
    moved(evidence)
    evidence.calls[1].queue, evidence.calls[1].name = "default", "chaos"


def run_twice_for_one_claim(evidence: Evidence) -> None:
    evidence.runs.append(evidence.runs[0])


def run_unclaimed(evidence: Evidence) -> None:
    evidence.runs.append(dataclasses.replace(evidence.runs[0], version=5))


def retried_too_often(evidence: Evidence) -> None:
    changed_row(evidence, retry_count=4)


def lost_for_no_reason(evidence: Evidence) -> None:
    evidence.logs[1][3:] = [
        log(4, "lease_lost", "pending", 3, actor="host-8-abc"),
        log(5, "started", "running", 3, actor=WORKER),
        log(6, "completed", "completed", 4, actor=WORKER),
    ]


def released_for_no_reason(evidence: Evidence) -> None:
    lost_for_no_reason(evidence)
    evidence.logs[1][3] = log(4, "released", "pending", 3, actor=WORKER)


def failed_with_retries_left(evidence: Evidence) -> None:
    changed_row(evidence, status="failed")
    evidence.logs[1][3] = log(4, "failed", "failed", 3, actor=WORKER)


def failed_by_another_for_no_reason(evidence: Evidence) -> None:
    changed_row(evidence, status="failed", max_retries=0)
    evidence.logs[1][3] = log(4, "failed", "failed", 3, actor="host-8-abc")


def retried_after_its_end(evidence: Evidence) -> None:
    evidence.logs[1][3:] = [log(4, "retry_scheduled", "pending", 3, actor=WORKER)]


def counted_wrong(evidence: Evidence) -> None:
    evidence.logs[1][3] = dataclasses.replace(evidence.logs[1][3], retry_count=1)


def lost_in_an_outage(evidence: Evidence) -> None:
    lost_for_no_reason(evidence)
    evidence.incidents.append(Incident("outage", 0, 2, 3))


def lost_as_connections_fell_silent(evidence: Evidence) -> None:
    lost_for_no_reason(evidence)
    evidence.incidents.append(Incident("silenced", 0, 2, 2))


def without_its_retry(evidence: Evidence) -> None:
    evidence.calls.append(Call(2, Kind.RETRY, 1, 3.5, 3.6, Outcome.OK))


def left_with_its_lease(evidence: Evidence) -> None:
    evidence.overdue = [Overdue(10, 2.5)]


def test_a_sound_history_breaks_no_rule() -> None:
    assert checker.check(sound()) == []


def test_a_watch_may_repeat_changes_after_postgresql_restarted() -> None:
    evidence = sound()
    evidence.seen[0].events[2:2] = evidence.seen[0].events[:2]
    evidence.incidents.append(Incident("outage", 0, 0.6, 0.7))
    assert checker.check(evidence) == []


def test_a_watch_of_a_queue_sees_a_task_enter_and_leave() -> None:
    evidence = sound()
    evidence.seen.append(Seen(None, 0, events(moved(evidence)), queue="second"))
    assert checker.check(evidence) == []


@pytest.mark.parametrize(
    ("rule", "break_it"),
    [
        *((1, each) for each in (lost, endless, without_a_run, retried_after_its_end)),
        (2, early),
        *((3, each) for each in (with_a_gap, completed_twice, recorded_by_another, unlike_its_log)),
        *((4, each) for each in (run_after_a_cancel, cancelled_for_nothing)),
        *((5, each) for each in (without_its_update, run_with_old_data, due_at_another_time, without_its_retry)),
        (5, moved_elsewhere),
        *((6, each) for each in (created_twice, answered_twice, created_in_part)),
        *((7, each) for each in (seen_with_a_gap, seen_twice, not_seen_to_its_end, not_seen_at_all)),
        *((7, each) for each in (not_seen_to_enter, not_seen_to_leave, seen_elsewhere)),
        *((8, each) for each in (run_twice_for_one_claim, run_unclaimed, retried_too_often)),
        *((8, each) for each in (lost_for_no_reason, lost_in_an_outage, lost_as_connections_fell_silent)),
        (8, released_for_no_reason),
        *((8, each) for each in (failed_with_retries_left, failed_by_another_for_no_reason, counted_wrong)),
        (9, left_with_its_lease),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_an_unsound_history_breaks_its_rule(rule: int, break_it: Callable[[Evidence], None]) -> None:
    evidence = sound()
    break_it(evidence)
    assert rule in checker.broken_rules(checker.check(evidence))
