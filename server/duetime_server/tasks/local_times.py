"""Reads local times: a task's due time in a time zone."""

import datetime
from typing import Any

from duetime_core.model import quoting, recurrence
from duetime_server.rpc import violations

FIELDS = ("local_time", "time_zone")


def read(request: Any, problems: violations.Violations) -> tuple[datetime.datetime, datetime.datetime, str] | None:
    """Returns the instant, the naive local time and the zone of a request; None if one of them is invalid."""
    local = _local(request.local_time, problems)
    if not request.time_zone:
        problems.add("time_zone", "is required with local_time: an IANA time zone, such as Europe/Lisbon")
        return None
    try:
        zone = recurrence.zone(request.time_zone)
    except recurrence.UnknownZoneError as error:
        problems.add("time_zone", str(error))
        return None
    if local is None:
        return None
    try:
        (instant,) = recurrence.instants(local, zone)
    except OverflowError:
        problems.add("local_time", "must be a time between the years 1 and 9999")
        return None
    return instant, local, request.time_zone


def _local(text: str, problems: violations.Violations) -> datetime.datetime | None:
    if not text:
        problems.add("local_time", "is required with time_zone, such as 2027-03-28T09:00:00")
        return None
    try:
        read = datetime.datetime.fromisoformat(text)
    except ValueError:
        problems.add("local_time", f"must be a local time such as 2027-03-28T09:00:00, not {quoting.shortened(text)!r}")
        return None
    if read.tzinfo is not None:
        problems.add(
            "local_time", "must have no UTC offset, because time_zone gives it; for an instant use execution_time"
        )
        return None
    return read
