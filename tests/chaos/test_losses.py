"""The checker alone, over failovers: what the new primary does not have may be missing, and nothing else."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.chaos import checker
from tests.chaos.evidence import Evidence, Failover, Log, Row
from tests.chaos.history import Call, Kind, Outcome
from tests.chaos.test_checker import WORKER, at, events, log, sound
from tests.chaos.watchers import Event, Seen
from tests.chaos.world import Incident

PROMOTED = 10.0


def failed_over(*, keeps_answers: bool = False) -> Evidence:
    """A task whose end was lost, and repeated afterwards, and another one that was lost as a whole."""
    evidence = sound()
    before = [*evidence.logs[1]]
    other = Log(2, 1, "pending", "created", at(5), at(5), 0, "api")
    evidence.failover = Failover(PROMOTED, frozenset([*before, other]), {1: "a", 2: "b"}, frozenset(), keeps_answers)
    evidence.logs[1][3:] = [
        log(4, "lease_lost", "pending", 11, actor="host-8-abc"),
        log(5, "started", "running", 11.5, actor=WORKER),
        log(6, "completed", "completed", 12.5, actor=WORKER),
    ]
    for index in (1, 2):
        evidence.logs[1][3 + index] = dataclasses.replace(evidence.logs[1][3 + index], retry_count=1)
    evidence.logs[1][3] = dataclasses.replace(evidence.logs[1][3], retry_count=1)
    evidence.rows[1] = Row(1, "completed", 6, 1, 3, at(2), {"origin": "a", "token": 2}, "a", None)
    evidence.runs.append(dataclasses.replace(evidence.runs[0], version=5, began=11.6, ended=12.4))
    evidence.calls.append(
        Call(2, Kind.CREATE, 2, 5, 5.1, Outcome.OK, origin="b", request_id="b", token=3, due_at=at(5).timestamp())
    )
    evidence.incidents.append(Incident("outage", 0, 9, PROMOTED))
    # The watch of the first task ended with the lost change; that of all saw what was lost, and then what is.
    lost = Event(2, 1, "pending", other.timestamp)
    seen = [*events(before), lost, *events(evidence.logs[1][1:])]
    evidence.seen.append(Seen(None, 0, seen))
    return evidence


def without_a_lost_lease(evidence: Evidence) -> None:
    """Its end is not among what was lost, so that no fault explains the lost lease."""
    assert evidence.failover is not None
    kept = frozenset(log for log in evidence.failover.changes if log.change != "completed")
    evidence.failover = dataclasses.replace(evidence.failover, changes=kept)


def not_seen_since(evidence: Evidence) -> None:
    del evidence.seen[-1].events[-1]


def skipped_by_a_watch(evidence: Evidence) -> None:
    del evidence.seen[-1].events[-2]


def invented(evidence: Evidence) -> None:
    evidence.seen[-1].events.append(Event(3, 1, "pending", at(5)))


def lost_though_kept(evidence: Evidence) -> None:
    """The new primary has had the change by which the task was created."""
    assert evidence.failover is not None
    del evidence.rows[1], evidence.logs[1]
    evidence.failover = dataclasses.replace(evidence.failover, changes=frozenset())


def lost_though_created_later(evidence: Evidence) -> None:
    evidence.calls[-1] = dataclasses.replace(evidence.calls[-1], invoked=11, returned=11.1)


def test_what_a_failover_lost_may_be_missing() -> None:
    assert checker.check(failed_over()) == []


def test_after_a_synchronous_failover_no_answer_may_be_missing() -> None:
    assert checker.broken_rules(checker.check(failed_over(keeps_answers=True))) == {1}


@pytest.mark.parametrize(
    ("rule", "break_it"),
    [
        *((1, each) for each in (lost_though_kept, lost_though_created_later)),
        *((7, each) for each in (not_seen_since, skipped_by_a_watch, invented)),
        (8, without_a_lost_lease),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_nothing_else_may_be_missing(rule: int, break_it: Callable[[Evidence], None]) -> None:
    evidence = failed_over()
    break_it(evidence)
    assert rule in checker.broken_rules(checker.check(evidence))
