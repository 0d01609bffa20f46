"""Reading local times: what a clock somewhere shows when a task is due."""

import datetime
from typing import Any

from duetime_core.model import quoting, recurrence
from duetime_server.rpc import violations

FIELDS = ("local_time", "time_zone")


def read(request: Any, wrong: violations.Violations) -> tuple[datetime.datetime, datetime.datetime, str] | None:
    """Returns the instant, the naive local time and the zone that a request names; None if one of them is wrong."""
    local = _local(request.local_time, wrong)
    if not request.time_zone:
        wrong.add("time_zone", "is required with local_time: IANA's name of the zone, such as Europe/Lisbon")
        return None
    try:
        zone = recurrence.zone(request.time_zone)
    except recurrence.UnknownZoneError as error:
        wrong.add("time_zone", str(error))
        return None
    if local is None:
        return None
    try:
        (instant,) = recurrence.instants(local, zone)
    except OverflowError:
        wrong.add("local_time", "must be a time between the years 1 and 9999")
        return None
    return instant, local, request.time_zone


def _local(text: str, wrong: violations.Violations) -> datetime.datetime | None:
    if not text:
        wrong.add("local_time", "is required with time_zone, such as 2027-03-28T09:00:00")
        return None
    try:
        read = datetime.datetime.fromisoformat(text)
    except ValueError:
        wrong.add("local_time", f"must be such as 2027-03-28T09:00:00, not {quoting.shortened(text)!r}")
        return None
    if read.tzinfo is not None:
        wrong.add("local_time", "must have no offset: time_zone says where it is; or use execution_time")
        return None
    return read
