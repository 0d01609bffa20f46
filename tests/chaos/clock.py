"""The clock of all observations: CLOCK_MONOTONIC, which is the same for all processes and is never set."""

import dataclasses
import datetime
import itertools
import math
import time

import psycopg
import psycopg.rows

_SAMPLES = 20
_IN_PROGRESS_SECONDS = 1.0
"""How long a statement may be in progress."""

_NOTED_SECONDS = 1.0
"""How long after a step was noted it may have taken effect, on a busy machine."""


def now() -> float:
    """Returns seconds by the observations' clock."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


@dataclasses.dataclass(frozen=True)
class Offset:
    """How many seconds the database's clock is ahead of the observations' clock, within `error`."""

    seconds: float
    error: float

    def of(self, moment: datetime.datetime) -> float:
        """Converts a time from the database's clock to the observations'."""
        return moment.timestamp() - self.seconds

    def earliest(self, moment: datetime.datetime) -> float:
        """Returns when the database's clock first showed that time, or a later one."""
        return self.of(moment)

    def ahead(self, moment: datetime.datetime) -> float:
        """Returns by how many seconds the database's clock was ahead when it showed that time."""
        return 0.0

    def has_just_stepped(self, at: float) -> bool:
        """Returns whether the database's clock was stepped within the second before."""
        return False

    def both(self, other: "Offset") -> "Offset":
        """Returns an offset that holds throughout, if it was this at the beginning and `other` at the end."""
        middle = (self.seconds + other.seconds) / 2
        return Offset(middle, abs(self.seconds - other.seconds) / 2 + max(self.error, other.error))


@dataclasses.dataclass(frozen=True)
class Stepped(Offset):
    """An offset that was `seconds` at the beginning, and that much more from the time of each of the `steps` on.

    The steps are longer than the time from `since` to `until`, so that the clock shows no time twice.
    """

    since: float = 0.0
    until: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()

    def of(self, moment: datetime.datetime) -> float:
        """Converts a time from the database's clock to the observations'."""
        return super().of(moment) - self.ahead(moment)

    def earliest(self, moment: datetime.datetime) -> float:
        """Returns when the database's clock first showed that time, or a later one."""
        shown = super().of(moment)
        first = (
            max(since, shown - ahead)
            for since, until, ahead in self._periods()
            if shown - ahead < until + _NOTED_SECONDS
        )
        return min(first, default=math.inf)  # it did not show it yet

    def has_just_stepped(self, at: float) -> bool:
        """Returns whether the database's clock was stepped within the second before."""
        return any(0 <= at - since < _IN_PROGRESS_SECONDS for since, _ in self.steps)

    def ahead(self, moment: datetime.datetime) -> float:
        """Returns by how many seconds the database's clock was ahead when it showed that time."""
        shown = super().of(moment)

        def distance(period: tuple[float, float, float]) -> float:
            since, until, ahead = period
            return max(since - (shown - ahead), (shown - ahead) - until, 0.0)

        return min(self._periods(), key=distance)[2]

    def _periods(self) -> list[tuple[float, float, float]]:
        begins = [(self.since, 0.0), *self.steps, (self.until, 0.0)]
        return [(since, until, ahead) for (since, ahead), (until, _) in itertools.pairwise(begins)]


async def measure(connection: psycopg.AsyncConnection[psycopg.rows.DictRow]) -> Offset:
    """Measures the offset: of several queries, the fastest has the smallest error."""
    best = Offset(0.0, float("inf"))
    for _ in range(_SAMPLES):
        asked = now()
        row = await (await connection.execute("SELECT clock_timestamp() AS now")).fetchone()
        answered = now()
        assert row is not None
        error = (answered - asked) / 2
        if error < best.error:
            best = Offset(row["now"].timestamp() - (asked + error), error)
    return best
