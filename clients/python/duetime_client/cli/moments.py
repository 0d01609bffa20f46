"""Parses and formats times."""

import datetime
import re

import typer
from google.protobuf import timestamp_pb2

import duetime_client
from duetime_client.cli import arguments, quoting

EXAMPLE = "2026-12-01T09:00:00+01:00"

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ]+(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r" *(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)
_DAY = datetime.timedelta(days=1)
_DATE = re.compile(r"\d{4}-?\d\d-?\d\d", re.ASCII)


def parse_time(text: str) -> datetime.datetime:
    """Returns the time of an ISO 8601 text with a zone; raises BadParameter for anything else."""
    moment = parse_local_or_time(text)
    if moment.utcoffset() is None:
        raise typer.BadParameter(f"{quoting.quoted(text)} has no zone; add Z for UTC, or an offset such as +01:00")
    return moment


def parse_local_or_time(text: str) -> datetime.datetime:
    """Returns the time of an ISO 8601 text, naive if it has no zone; raises BadParameter for anything else.

    `24:00` is the midnight at the end of that day. Digits beyond the microsecond are cut off.
    """
    given = text.strip()
    if not (match := _TIME.fullmatch(given)):
        try:  # ISO 8601's other forms, such as 20261201T090000Z
            return datetime.datetime.fromisoformat(given.upper() if not _DATE.fullmatch(given) else "")
        except ValueError:
            raise typer.BadParameter(f"{quoting.quoted(text)} {_problem(given)}") from None
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    ends_day = (hour, minute, second, int(match[7] or 0)) == (24, 0, 0, 0)
    try:
        zone = _zone(*match.groups()[7:])
        microsecond = int((match[7] or "").ljust(6, "0")[:6])
        if not ends_day:
            return datetime.datetime(year, month, day, hour, minute, second, microsecond, zone)
        begin = datetime.datetime(year, month, day)  # noqa: DTZ001  # the zone follows: the calendar ends with 9999
        offset = zone.utcoffset(None) if zone else None
        return (begin + (_DAY - (offset or datetime.timedelta(0)))).replace(tzinfo=zone and datetime.UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{quoting.quoted(text)} is not a time: {error}") from None


def _zone(utc: str | None, sign: str | None, hours: str | None, minutes: str | None) -> datetime.tzinfo | None:
    """Returns the zone of a time; raises ValueError for an offset that is out of range."""
    if utc:
        return datetime.UTC
    if hours is None:
        return None
    if int(hours) > 23 or int(minutes or 0) > 59:
        raise ValueError("the offset must be from -23:59 to +23:59")
    offset = datetime.timedelta(hours=int(hours), minutes=int(minutes or 0))
    return datetime.timezone(-offset if sign == "-" else offset)


def _problem(text: str) -> str:
    if _DATE.fullmatch(text):
        return f"has no time of day; write a time such as {EXAMPLE}"
    return f"is not a time such as {EXAMPLE}"


def due(
    at: datetime.datetime | None, in_: datetime.timedelta | None, zone: str | None
) -> datetime.datetime | datetime.timedelta | duetime_client.LocalTime | None:
    """Returns when a task is due, by the options --at, --in and --zone; None without them."""
    when = one_of(at, in_)
    if zone is None:
        if at is not None and at.utcoffset() is None:
            raise typer.BadParameter(
                f"{at.isoformat()!r} has no zone; add Z for UTC, an offset such as +01:00, or --zone Europe/Lisbon",
                param_hint="--at",
            )
        return when
    if at is None or at.utcoffset() is not None:
        raise arguments.UsageError("--zone requires --at without an offset, such as 2026-12-01T09:00")
    return duetime_client.LocalTime(at, zone)


def one_of(
    at: datetime.datetime | None, in_: datetime.timedelta | None
) -> datetime.datetime | datetime.timedelta | None:
    """Returns the option that is given, None without any; raises UsageError if both are."""
    if at is not None and in_ is not None:
        raise arguments.UsageError("--at and --in cannot be combined")
    return at if at is not None else in_


def in_local_zone(moment: datetime.datetime | None, timespec: str = "seconds") -> str:
    """Returns the time in this machine's zone, with its offset; an empty text for None.

    Within a day of the calendar's ends, where that zone may have no such time, it is in UTC.
    """
    if moment is None:
        return ""
    try:
        moment = moment.astimezone()
    except (OverflowError, ValueError, OSError):
        moment = moment.astimezone(datetime.UTC)
    return moment.isoformat(" ", timespec)


def in_utc(moment: datetime.datetime) -> str:
    """Returns an absolute time as RFC 3339, in full precision."""
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp.ToJsonString()
