"""What `duetime doctor` says of standbys and replication slots."""

import pytest

from duetime_core.postgres import replication
from duetime_stack import finding, standbys

MB = 1024**2


def problems(
    *, standby: replication.Standby | None = None, slot: replication.Slot | None = None, names: str = ""
) -> list[str]:
    found = replication.Replication(names, "on", "duetime", [standby] if standby else [], [slot] if slot else [])
    return [each.text for each in standbys.check(found) if each.level is not finding.Level.OK]


@pytest.mark.parametrize(
    ("lag_bytes", "lag_seconds", "is_problem"),
    [(0, None, False), (64 * MB, 30.0, False), (65 * MB, 1.0, True), (0, 31.0, True), (None, None, False)],
)
def test_a_standby_far_behind_is_a_warning(lag_bytes: int | None, lag_seconds: float | None, is_problem: bool) -> None:
    found = problems(standby=replication.Standby("b", True, "async", lag_bytes, lag_seconds))
    assert [each.startswith("standby b (async) is ") for each in found] == [True] * is_problem


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (replication.Slot("s", True, 1024 * MB, False, 1_000_000), None),
        (replication.Slot("s", False, 0, False, 0), None),
        (replication.Slot("s", False, 3 * MB, False, 7), "no consumer and keeps 3 MB of WAL and the dead rows of 7 "),
        (replication.Slot("s", True, 2048 * MB, False, 0), "keeps 2,048 MB of WAL: its consumer is too slow"),
        (replication.Slot("s", True, 0, False, 2_000_000), "keeps the dead rows of 2,000,000 transactions"),
        (replication.Slot("s", False, 0, True, 0), "has lost the WAL"),
    ],
)
def test_a_slot_that_keeps_much_is_a_warning_with_the_statement_that_drops_it(
    slot: replication.Slot, text: str | None
) -> None:
    found = problems(slot=slot)
    assert len(found) == (text is not None)
    if text is not None:
        assert text in found[0]
        assert found[0].endswith("drop it: SELECT pg_drop_replication_slot('s')")


def test_standbys_that_are_required_and_not_there_are_an_error() -> None:
    (problem,) = problems(names="b")
    assert problem.startswith(
        "all commits wait: synchronous_standby_names is 'b', and of the standbys that it names 0 of 1 "
    )
