import datetime
import time
import zoneinfo
from collections.abc import Iterator

import hypothesis
import pytest
import typer
from hypothesis import strategies

from duetime_client.cli import moments

NINE = datetime.datetime(2026, 12, 1, 9, tzinfo=datetime.UTC)
FIRST = datetime.datetime.min.replace(tzinfo=datetime.UTC)
LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "text",
    [
        *["2026-12-01T09:00:00+00:00", "2026-12-01T09:00Z", "2026-12-01 10:00+01:00", "2026-12-01T09:00:00.000Z"],
        *["2026-12-01t09:00:00z", "2026-12-01T14:30+0530", "2026-12-01T10:00+01", "2026-12-01 10:00:00 +0100"],
        *["2026-12-01T09:00:00-00:00", "20261201T090000Z", " 2026-12-01T09:00Z\n", "2026-12-01T09:00:00.0000009Z"],
    ],
)
def test_time_with_a_zone_is_parsed(text: str) -> None:
    assert moments.parse_time(text) == NINE


def test_24_00_is_the_end_of_the_day() -> None:
    assert moments.parse_time("2026-12-31T24:00Z") == datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    last = datetime.datetime(9999, 12, 31, 10, tzinfo=datetime.UTC)
    assert moments.parse_time("9999-12-31T24:00+14:00") == last
    assert moments.parse_local_or_time("2026-12-31 24:00:00") == datetime.datetime(2027, 1, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2026-12-01T09:00", "has no zone; add Z for UTC"),
        ("2026-12-01", "has no time of day; write a time such as 2026-12-01T09:00:00"),
        ("20261201", "has no time of day"),
        ("tomorrow", "is not a time such as"),
        ("", "is not a time such as"),
        ("1790000000", "is not a time such as"),
        ("2026-13-01T09:00Z", "month must be in 1..12"),
        ("2026-02-30T09:00Z", "day"),
        ("2026-12-01T25:00Z", "hour must be in 0..23"),
        ("2026-12-01T24:01Z", "hour must be in 0..23"),
        ("2026-12-01T23:59:60Z", "second must be in 0..59"),
        ("2026-12-01T09:00+25:00", "offset must be from"),
        ("2026-12-01T09:00+01:99", "offset must be from"),
        ("9999-12-31T24:00Z", "is not a time"),
        ("0000-01-01T00:00Z", "year"),
        ("2026-12-01T09:00Z" + "x" * 5_000, "is not a time such as"),
        ("2026-12-01T09:00Z\x1b[2J", r"\\x1b"),
    ],
)
def test_invalid_time_is_refused_in_one_short_sentence(text: str, problem: str) -> None:
    with pytest.raises(typer.BadParameter, match=problem) as caught:
        moments.parse_time(text)
    assert len(caught.value.message) < 200
    assert caught.value.message.isprintable()


@pytest.fixture
def restored_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    monkeypatch.undo()
    time.tzset()


@hypothesis.settings(
    deadline=None, max_examples=5, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    near_an_end=strategies.timedeltas(datetime.timedelta(0), datetime.timedelta(days=2)),
    anywhere=strategies.datetimes(timezones=strategies.just(datetime.UTC)),
)
@pytest.mark.usefixtures("restored_zone")
def test_every_time_is_formatted_in_every_zone(
    monkeypatch: pytest.MonkeyPatch, near_an_end: datetime.timedelta, anywhere: datetime.datetime
) -> None:
    for zone in zoneinfo.available_timezones():
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        for moment in (FIRST, LAST, FIRST + near_an_end, LAST - near_an_end, anywhere):
            assert datetime.datetime.fromisoformat(moments.in_local_zone(moment, "microseconds")) == moment
