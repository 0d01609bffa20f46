"""Parses and formats durations."""

import datetime
import decimal
import re

import typer

from duetime_client.cli import quoting

EXAMPLES = "10s, 5m, 1h30m, 2d, 1w or ISO 8601's PT1H30M"

_MICROSECONDS = {
    "w": 604_800 * 10**6,
    "d": 86_400 * 10**6,
    "h": 3_600 * 10**6,
    "m": 60 * 10**6,
    "s": 10**6,
    "ms": 1_000,
}
_NUMBER = r"\d+(?:[.,]\d+)?"
_PART = re.compile(rf"({_NUMBER})\s*(ms|[wdhms])\s*", re.ASCII)
_ISO = re.compile(
    rf"P(?:({_NUMBER})W)?(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?",
    re.ASCII | re.IGNORECASE,
)
_ISO_CALENDAR = re.compile(rf"P[^T]*{_NUMBER}[YM]", re.ASCII | re.IGNORECASE)


def parse(text: str) -> datetime.timedelta:
    """Returns the duration of a text such as `10s`, `1h 30m`, `1.5h`, `1w` or `P1DT12H`, to the microsecond.

    Raises BadParameter for anything else.
    """
    stripped = text.strip()
    parts = _iso_parts(stripped) if stripped[:1] in "Pp" else _parts(stripped)
    if not parts:
        raise typer.BadParameter(f"{quoting.quoted(text)} is not a duration such as {EXAMPLES}{_hint(stripped)}")
    numbers = [(decimal.Decimal(number.replace(",", ".")), unit) for number, unit in parts]
    try:
        return datetime.timedelta(microseconds=round(sum(number * _MICROSECONDS[unit] for number, unit in numbers)))
    except OverflowError:
        raise typer.BadParameter(f"{quoting.quoted(text)} is too long") from None


def _parts(text: str) -> list[tuple[str, str]]:
    """Returns the numbers and units of a text such as `1h 30m`; an empty list for anything else."""
    found, position = [], 0
    while part := _PART.match(text, position):
        found.append((part[1], part[2]))
        position = part.end()
    return found if position == len(text) else []


def _iso_parts(text: str) -> list[tuple[str, str]]:
    """Returns the numbers and units of an ISO 8601 duration; an empty list for anything else."""
    if not (match := _ISO.fullmatch(text)) or text[-1:] in "Tt":
        return []
    return [(number, unit) for number, unit in zip(match.groups(), "wdhms", strict=True) if number]


def _hint(text: str) -> str:
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return "; it has no unit"
    if text.startswith("-"):
        return "; it must not be negative"
    if _ISO_CALENDAR.match(text):
        return "; years and months have no fixed length: write days"
    return ""


def shown(value: datetime.timedelta | None) -> str:
    """Returns a text such as `1h30m` or `0.25s`; an empty one for None."""
    if value is None:
        return ""
    if value < datetime.timedelta(0):
        # Not abs(): the longest negative duration has no positive counterpart.
        return "-" + shown(-value if value > datetime.timedelta.min else datetime.timedelta.max)
    if value < datetime.timedelta(minutes=1):
        # Milliseconds are precise enough, but a shorter duration must not look like zero.
        places = 3 if value >= datetime.timedelta(milliseconds=1) else 6
        return f"{value.total_seconds():.{places}f}".rstrip("0").rstrip(".") + "s"
    days, rest = value.days, value.seconds + round(value.microseconds / 1_000_000)
    days, rest = days + rest // 86_400, rest % 86_400
    parts = [(days, "d"), (rest // 3_600, "h"), (rest // 60 % 60, "m"), (rest % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number)
