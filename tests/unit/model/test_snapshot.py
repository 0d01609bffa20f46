"""Snapshots and positions, without a database: what is seen, what covers what, and what is refused."""

import itertools
import random

import pytest

from duetime_core.model.snapshot import NOTHING, Position, Snapshot

HISTORY, END = "0f2c6f4a-5d1e-4c43-9f0e-1a2b3c4d5e6f", "7.8.1764259200000000"


def snapshots(count: int) -> list[Snapshot]:
    """Returns snapshots that follow each other in a life of transactions that begin and end."""
    chance = random.Random(count)
    taken: list[Snapshot] = []
    going: set[int] = set()
    next_xid = 100
    while len(taken) < count:
        if going and chance.random() < 0.5:
            going.remove(chance.choice(sorted(going)))
        else:
            going.add(next_xid)
            next_xid += 1
        taken.append(Snapshot(min(going, default=next_xid), next_xid, frozenset(going)))
    return taken


def test_a_later_snapshot_sees_all_that_an_earlier_one_sees_and_covers_it() -> None:
    taken = snapshots(60)
    xids = range(95, max(snapshot.xmax for snapshot in taken) + 5)
    for earlier, later in itertools.combinations_with_replacement(taken, 2):
        assert later.covers(earlier)
        assert all(later.sees(xid) for xid in xids if earlier.sees(xid))


def test_a_snapshot_covers_another_exactly_if_it_sees_all_that_the_other_sees() -> None:
    taken = snapshots(60)
    xids = range(95, max(snapshot.xmax for snapshot in taken) + 5)
    for one, other in itertools.product(taken, taken):
        if one.xmax >= other.xmax:
            assert one.covers(other) == all(one.sees(xid) for xid in xids if other.sees(xid))
        else:
            assert not one.covers(other)


def test_nothing_sees_nothing_and_everything_covers_it() -> None:
    assert not NOTHING.sees(3)
    assert all(snapshot.covers(NOTHING) for snapshot in [NOTHING, *snapshots(10)])


@pytest.mark.parametrize("snapshot", snapshots(20), ids=str)
def test_a_position_is_read_as_it_was_written(snapshot: Snapshot) -> None:
    for position in (Position(HISTORY, END, snapshot), Position(HISTORY, END, snapshot, snapshot, 7, 2**63 - 1)):
        assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        "0:0:",  # what PostgreSQL's own type refuses would fail as a fault of ours
        "-1:5:",
        "5:4:",
        "5:9:4",
        "5:9:9",
        f"5:{2**63}:",
        "5:9:;5:9:;-1;9",
        f"5:9:;5:9:;1;{2**63}",
        "5:9:;5:9:;2;1",
        "5:9:;5:9:;1",
        "5:9:;5:9:;1;1;1",
    ],
)
def test_a_position_that_no_database_gives_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message: callers say it in their own words
        Position.parse(f"{HISTORY};{END};{text}")


@pytest.mark.parametrize("text", ["x;1.2.3;5:9:", f"{HISTORY};;5:9:", f"{HISTORY};1.2;5:9:", f"{HISTORY};1.2.3"])
def test_a_position_without_a_history_or_an_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message: callers say it in their own words
        Position.parse(text)


def test_the_part_of_a_snapshot_below_a_transaction_sees_what_the_snapshot_sees_there_and_nothing_else() -> None:
    for snapshot in snapshots(40):
        for xid in range(95, snapshot.xmax + 5):
            part = snapshot.below(xid)
            assert all(part.sees(each) == (each < xid and snapshot.sees(each)) for each in range(90, snapshot.xmax + 9))
            assert snapshot.covers(part)
            assert Snapshot.parse(str(part)) == part


def test_a_position_with_more_in_progress_than_a_server_has_is_refused() -> None:
    for count in (1_000, 1_001, 70_000):
        text = f"1:{count + 1}:{','.join(map(str, range(1, count + 1)))}"
        for position in (f"{HISTORY};{END};{text}", f"{HISTORY};{END};1:1:;{text};1;1"):
            if count == 1_000:
                assert str(Position.parse(position)) == position
            else:
                with pytest.raises(ValueError, match="more than 1000 transactions"):
                    Position.parse(position)
