import datetime

import hypothesis
import pytest
import typer
from hypothesis import strategies

from duetime_client.cli import durations

SECOND = datetime.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("10s", 10), ("5m", 300), ("2h", 7_200), ("1d", 86_400), ("1w", 604_800), ("250ms", 0.25), ("0s", 0)],
        *[("1h30m", 5_400), ("1d12h", 129_600), ("1h 30m", 5_400), ("5 m", 300), (" 1w  2d ", 777_600)],
        *[("1.5s", 1.5), ("1.5h", 5_400), ("0,5d", 43_200), ("0.1s", 0.1)],
        *[("P1D", 86_400), ("PT1H30M", 5_400), ("P1W", 604_800), ("P1DT12H", 129_600), ("PT0S", 0), ("PT90M", 5_400)],
        *[("PT0.25S", 0.25), ("PT1,5H", 5_400), ("pt1h30m", 5_400), ("P2W1D", 1_296_000), ("P0D", 0)],
    ],
)
def test_duration_is_parsed(text: str, seconds: float) -> None:
    assert durations.parse(text) == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *[
            (text, "is not a duration such as")
            for text in ("", " ", "soon", "s", "1x", "5m!", "٣s", "1h30", "01:30:00")
        ],
        *[(text, "is not a duration such as") for text in ("P", "PT", "P1DT", "P1H", "PT1D", "1e3s", "1M", "PT1H30")],
        *[("10", "it has no unit"), ("1.5", "it has no unit"), ("-5s", "must not be negative")],
        *[("P1M", "no fixed length"), ("P1Y", "no fixed length"), ("P1Y2M3D", "no fixed length")],
        *[("99999999999d", "too long"), ("9" * 5_000 + "s", "too long"), ("P9999999999W", "too long")],
    ],
)
def test_invalid_duration_is_refused_in_one_short_sentence(text: str, problem: str) -> None:
    with pytest.raises(typer.BadParameter, match=problem) as caught:
        durations.parse(text)
    assert len(caught.value.message) < 250
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0s"), (0.25, "0.25s"), (2, "2s"), (59.9996, "60s"), (60, "1m"), (5_400, "1h30m"), (90_061, "1d1h1m1s")],
        *[(0.000_25, "0.00025s"), (3_599.9996, "1h"), (-90, "-1m30s"), (-0.5, "-0.5s")],
    ],
)
def test_duration_is_formatted(seconds: float, text: str) -> None:
    assert durations.shown(datetime.timedelta(seconds=seconds)) == text


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.timedeltas())
@hypothesis.example(datetime.timedelta.max)
@hypothesis.example(datetime.timedelta.min)
def test_every_formatted_duration_can_be_parsed(value: datetime.timedelta) -> None:
    text = durations.shown(value)
    if datetime.timedelta.min + SECOND < value < datetime.timedelta.max - SECOND:
        magnitude = durations.parse(text.removeprefix("-"))
        assert abs((-magnitude if text.startswith("-") else magnitude) - value) <= SECOND
