"""The period that a report is about."""

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
    """From `start` on and before `end`; both are aware, in the zone of the report."""

    start: datetime.datetime
    end: datetime.datetime

    @property
    def unit(self) -> Literal["hour", "day"]:
        """What it is divided into over time."""
        return "hour" if self.end - self.start <= _SHORT else "day"

    def buckets(self) -> list[datetime.datetime]:
        """Returns the beginning of each of its hours or days, as the zone's clock shows them."""
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
            moment += _DAY  # by the clock of the zone
        return found

    def filled(
        self, lines: Mapping[datetime.datetime, statistics.Line]
    ) -> list[tuple[datetime.datetime, statistics.Line]]:
        """Returns the line of each of its hours or days, those in which nothing happened too."""
        found = {self._key(moment): line for moment, line in lines.items()}
        return [(moment, found.get(self._key(moment), statistics.NOTHING)) for moment in self.buckets()]

    def _key(self, moment: datetime.datetime) -> datetime.datetime | datetime.date:
        # Where the clock of a zone changes, its times equal those of no other zone (PEP 495), and a midnight that
        # comes twice, or never, is another moment to PostgreSQL than to Python.
        return moment.astimezone(datetime.UTC) if self.unit == "hour" else moment.astimezone(self.start.tzinfo).date()

    def __str__(self) -> str:
        shown = "%Y-%m-%d %H:%M"
        return f"{self.start:{shown}} – {self.end:{shown}} {self.start.tzinfo}"


def last(which: Literal["last_day", "last_week"], before: datetime.datetime, zone: zoneinfo.ZoneInfo) -> Period:
    """Returns the last calendar day, or week from Monday on, of the zone that was over at that moment."""
    today = before.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if which == "last_day":
        return Period(today - _DAY, today)
    monday = today - today.weekday() * _DAY
    return Period(monday - 7 * _DAY, monday)
