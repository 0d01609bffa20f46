import datetime

import pytest
import typer

from duetime_client.cli import moments


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1.5s", 1.5), ("250ms", 0.25), ("0s", 0)],
)
def test_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert moments.parse_duration(text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "-5s", "5 m", "1x", "5m!", "1h 30m", "٣s", "99999999999d"])
def test_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        moments.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "0.25s"), (2, "2s"), (59.9996, "60s"), (60, "1m"), (5400, "1h30m"), (90061, "1d1h1m1s")],
)
def test_duration_reads_as_it_is_typed(seconds: float, text: str) -> None:
    assert moments.duration(datetime.timedelta(seconds=seconds)) == text


@pytest.mark.parametrize("text", ["2026-12-01T09:00:00+00:00", "2026-12-01T09:00Z", "2026-12-01 10:00+01:00"])
def test_time_with_a_zone_is_that_moment(text: str) -> None:
    assert moments.parse_time(text) == datetime.datetime(2026, 12, 1, 9, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2026-12-01T09:00", "has no zone; add Z for UTC"),
        ("2026-12-01", "has no zone"),
        ("tomorrow", "is not a time"),
    ],
)
def test_time_that_names_no_moment_is_refused(text: str, problem: str) -> None:
    with pytest.raises(typer.BadParameter, match=problem):
        moments.parse_time(text)
