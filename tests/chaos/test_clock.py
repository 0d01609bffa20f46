"""The observations' clock, and a database's clock that is stepped."""

import datetime

import pytest

from tests.chaos import clock

EPOCH = datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC)
STEPPED = clock.Stepped(EPOCH.timestamp(), 0.0, 0.0, 60.0, ((10.0, 300.0), (20.0, 0.0), (30.0, -300.0), (40.0, 0.0)))


def shown(seconds: float) -> datetime.datetime:
    return EPOCH + datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "at", "ahead"),
    [(5, 5, 0), (312, 12, 300), (25, 25, 0), (-268, 32, -300), (50, 50, 0)],
)
def test_a_time_that_a_stepped_clock_showed_was_at_one_moment(seconds: float, at: float, ahead: float) -> None:
    assert STEPPED.of(shown(seconds)) == pytest.approx(at)
    assert STEPPED.ahead(shown(seconds)) == ahead


@pytest.mark.parametrize(("due", "at"), [(5, 5), (15, 10), (25, 10), (310, 10), (315, 15), (320.5, 20.5), (-100, 0)])
def test_a_stepped_clock_first_shows_a_time_or_a_later_one(due: float, at: float) -> None:
    assert STEPPED.earliest(shown(due)) == pytest.approx(at)
