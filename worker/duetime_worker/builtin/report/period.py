"""The period that a report covers."""

import dataclasses
import datetime
import zoneinfo
from collections.abc import Mapping
from typing import Literal

from duetime_core.model import statistics

_DAY = datetime.timedelta(days=1)
_SHORT = datetime.timedelta(days=3)


@dataclasses.dataclass(frozen=True, slots=True)
class Period:
    """The half-open interval [start, end); both are aware, in the report's zone."""

    start: datetime.datetime
    end: datetime.datetime

    @property
    def unit(self) -> Literal["hour", "day"]:
        """The width of its buckets."""
        return "hour" if self.end - self.start <= _SHORT else "day"

    def buckets(self) -> list[datetime.datetime]:
        """Returns the start of each of its hours or days, in local time."""
        found = []
        if self.unit == "hour":
            moment = self.start.replace(minute=0, second=0, microsecond=0).astimezone(datetime.UTC)
            while moment < self.end:
                found.append(moment.astimezone(self.start.tzinfo))
                moment += datetime.timedelta(hours=1)
            return found
        moment = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        while moment < self.end:
            found.append(moment)
            moment += _DAY  # of local time
        return found

    def filled(
        self, lines: Mapping[datetime.datetime, statistics.Line]
    ) -> list[tuple[datetime.datetime, statistics.Line]]:
        """Returns the line of each of its hours or days, including those without runs."""
        found = {self._key(moment): line for moment, line in lines.items()}
        return [(moment, found.get(self._key(moment), statistics.NOTHING)) for moment in self.buckets()]

    def _key(self, moment: datetime.datetime) -> datetime.datetime | datetime.date:
        # Around a DST transition, times of a zone compare equal to none of another zone (PEP 495), and PostgreSQL and
        # Python resolve a repeated or skipped midnight to different instants.
        return moment.astimezone(datetime.UTC) if self.unit == "hour" else moment.astimezone(self.start.tzinfo).date()

    def __str__(self) -> str:
        shown = "%Y-%m-%d %H:%M"
        return f"{self.start:{shown}} – {self.end:{shown}} {self.start.tzinfo}"


def last(which: Literal["last_day", "last_week"], before: datetime.datetime, zone: zoneinfo.ZoneInfo) -> Period:
    """Returns the last calendar day, or week beginning on Monday, that had ended in the zone at `before`."""
    today = before.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if which == "last_day":
        return Period(today - _DAY, today)
    monday = today - today.weekday() * _DAY
    return Period(monday - 7 * _DAY, monday)
