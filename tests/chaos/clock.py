"""The clock of all observations: CLOCK_MONOTONIC, which is the same for all processes and is never set."""

import dataclasses
import datetime
import time

import psycopg
import psycopg.rows

_SAMPLES = 20


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

    def both(self, other: "Offset") -> "Offset":
        """Returns an offset that holds throughout, if it was this at the beginning and `other` at the end."""
        middle = (self.seconds + other.seconds) / 2
        return Offset(middle, abs(self.seconds - other.seconds) / 2 + max(self.error, other.error))


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
