"""When, and where, rows are looked for that were left behind a floor."""

import datetime

from duetime_core.store import leftovers

NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)


def look(left: leftovers.Left, clock: list[float], *, took: float, is_done: bool) -> datetime.datetime:
    first, before = left.slice(NOW)
    assert first < before
    began = clock[0]
    clock[0] += took
    left.looked(first, began=began, is_done=is_done)
    return first


def test_looks_reach_everything_again_after_many_were_slow() -> None:
    clock = [0.0]
    left = leftovers.Left(lambda: clock[0])
    for _ in range(15):
        look(left, clock, took=left.SLOWEST, is_done=False)
        assert not left.is_complete
    assert any(look(left, clock, took=0.0, is_done=True) == leftovers.LONG_AGO for _ in range(60))
    assert left.is_complete
    assert left.slice(NOW) == (leftovers.LONG_AGO, NOW)


def test_looks_reach_everything_again_where_each_round_trip_takes_long() -> None:
    clock = [0.0]
    left = leftovers.Left(lambda: clock[0])
    look(left, clock, took=left.SLOWEST, is_done=False)
    assert any(look(left, clock, took=4 * 0.02, is_done=True) == leftovers.LONG_AGO for _ in range(60))
