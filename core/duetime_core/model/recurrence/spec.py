"""The specification of when recurring work is due."""

import dataclasses
import datetime
import enum

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
ZERO = datetime.timedelta(0)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
"""In the order of `datetime.weekday`."""


class MissingTime(enum.StrEnum):
    """How a local time is handled that a DST transition skips."""

    SHIFT = "shift"
    """It moves by the length of the gap: 02:30 becomes 03:30."""
    SKIP = "skip"


class RepeatedTime(enum.StrEnum):
    """Which instant of a local time counts that a DST transition repeats."""

    AUTO = "auto"
    """Both for a cron expression of each minute or hour (its field begins with `*`), the first for times of day."""
    FIRST = "first"
    LAST = "last"
    BOTH = "both"


class BlackoutBehavior(enum.StrEnum):
    """How an occurrence in a blackout is handled."""

    SKIP = "skip"
    MOVE = "move"
    """It is due at the blackout's end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Blackout:
    """A range of local time without occurrences: each week from `from_time`, or from `first_date` to `last_date`.

    A weekly one begins on each of `days`, numbered as `datetime.weekday` does, and ends at `until_time`: on the same
    day or, if that is not later than `from_time`, on the next one.
    """

    days: frozenset[int] = frozenset()
    from_time: datetime.time | None = None
    until_time: datetime.time | None = None
    first_date: datetime.date | None = None
    last_date: datetime.date | None = None
    behavior: BlackoutBehavior = BlackoutBehavior.SKIP


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """A recurrence rule: a cron expression or an interval, and the settings that modify its times.

    `cron` is read in the local time of `time_zone`; `interval` counts elapsed time from `anchor`. Both ends are
    inclusive. Occurrences are due up to `jitter` later than the rule says, but not past `end_time` or in a blackout.
    """

    cron: str | None = None
    interval: datetime.timedelta | None = None
    anchor: datetime.datetime | None = None
    time_zone: str = "UTC"
    start_time: datetime.datetime | None = None
    end_time: datetime.datetime | None = None
    missing_time: MissingTime = MissingTime.SHIFT
    repeated_time: RepeatedTime = RepeatedTime.AUTO
    jitter: datetime.timedelta = ZERO
    blackouts: tuple[Blackout, ...] = ()
