"""Times and durations as people type and read them."""

import datetime
import re

import typer
from google.protobuf import timestamp_pb2

import duetime_client

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)


def parse_time(text: str) -> datetime.datetime:
    """Returns the moment of an ISO 8601 text with a zone; raises BadParameter for anything else."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-12-01T09:00:00+01:00") from None
    if moment.utcoffset() is None:
        raise typer.BadParameter(f"{text!r} has no zone; add Z for UTC, or an offset such as +01:00")
    return moment


def parse_local_or_time(text: str) -> datetime.datetime:
    """Returns the moment of an ISO 8601 text, naive if it has no zone; raises BadParameter for anything else."""
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a time such as 2026-12-01T09:00:00+01:00") from None


def due(
    at: datetime.datetime | None, in_: datetime.timedelta | None, zone: str | None
) -> datetime.datetime | datetime.timedelta | duetime_client.LocalTime | None:
    """Returns when a task is due by the options --at, --in and --zone; None without them."""
    if at is not None and in_ is not None:
        raise typer.BadParameter("give only one of them", param_hint="--at / --in")
    if zone is None:
        if at is not None and at.utcoffset() is None:
            raise typer.BadParameter(
                f"{at.isoformat()!r} has no zone; add Z for UTC, an offset such as +01:00, or --zone Europe/Lisbon",
                param_hint="--at",
            )
        return at if at is not None else in_
    if at is None or at.utcoffset() is not None:
        raise typer.BadParameter("is for --at a time without an offset", param_hint="--zone")
    return duetime_client.LocalTime(at, zone)


def parse_duration(text: str) -> datetime.timedelta:
    """Returns the duration of a text such as `10s`, `5m`, `2h`, `1d` or `1h30m`; raises BadParameter otherwise."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is not a duration such as 10s, 5m, 2h, 1d or 1h30m")
    try:
        return datetime.timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long") from None


def in_local_zone(moment: datetime.datetime | None, timespec: str = "seconds") -> str:
    """Returns the moment in the zone of this machine, with its offset; nothing for None."""
    return moment.astimezone().isoformat(" ", timespec) if moment else ""


def in_utc(moment: datetime.datetime) -> str:
    """Returns an absolute moment as RFC 3339, exactly."""
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp.ToJsonString()


def duration(value: datetime.timedelta | None) -> str:
    """Returns a duration such as `1h30m` or `0.25s`; nothing for None."""
    if value is None:
        return ""
    seconds = value.total_seconds()
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
    whole = round(seconds)
    parts = [(whole // 86_400, "d"), (whole // 3_600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number)
