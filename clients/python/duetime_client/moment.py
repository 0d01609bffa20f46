"""Converts times and durations to and from protobuf, exact to the microsecond."""

import datetime
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2

from duetime_client import errors

_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_FIRST = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)
_MAX_DURATION = datetime.timedelta(seconds=315_576_000_000)
"""Protobuf's own limit of a Duration: 10,000 years."""
_OUT_OF_RANGE = "must be from year 1 to 9999, in UTC"


def to_timestamp(value: object, field: str) -> timestamp_pb2.Timestamp:
    """Returns an aware datetime as a Timestamp; raises InvalidArgument, naming `field`, for anything else."""
    if not isinstance(value, datetime.datetime):
        raise errors.invalid(field, f"must be an aware datetime or a timedelta from now, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise errors.invalid(field, "has no time zone; write datetime(…, tzinfo=UTC), or .astimezone() for local time")
    timestamp = timestamp_pb2.Timestamp()
    try:
        timestamp.FromDatetime(value.astimezone(datetime.UTC))
    except OverflowError:
        raise errors.invalid(field, _OUT_OF_RANGE) from None
    return timestamp


def absolute(value: Any, now: datetime.datetime, field: str) -> Any:
    """Returns `now` plus a timedelta; anything else unchanged."""
    if not isinstance(value, datetime.timedelta):
        return value
    try:
        return now + value
    except OverflowError:
        raise errors.invalid(field, _OUT_OF_RANGE) from None


def from_timestamp(timestamp: timestamp_pb2.Timestamp) -> datetime.datetime:
    """Returns an aware datetime in UTC; the nearest one, if it is outside the years 1 to 9999."""
    try:
        return _EPOCH + datetime.timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1_000)
    except OverflowError:
        return _FIRST if timestamp.seconds < 0 else _LAST


def to_duration(value: object, field: str) -> duration_pb2.Duration:
    """Returns a timedelta as a Duration; raises InvalidArgument, naming `field`, for anything else."""
    if not isinstance(value, datetime.timedelta):
        raise errors.invalid(field, f"must be a timedelta, not {type(value).__name__}")
    if not -_MAX_DURATION <= value <= _MAX_DURATION:
        raise errors.invalid(field, f"must be at most {_MAX_DURATION.days:,} days, not {value.days:,}")
    duration = duration_pb2.Duration()
    duration.FromTimedelta(value)
    return duration


def from_duration(duration: duration_pb2.Duration) -> datetime.timedelta:
    """Returns a timedelta; the nearest one, if it is longer than a timedelta can be."""
    try:
        # Towards zero, as protobuf's own conversion rounds.
        return datetime.timedelta(seconds=duration.seconds, microseconds=int(duration.nanos / 1_000))
    except OverflowError:
        return datetime.timedelta.min if duration.seconds < 0 else datetime.timedelta.max
