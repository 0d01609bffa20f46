"""How late tasks started, and what is still on time."""

import itertools
from collections.abc import Callable, Sequence

from tests.chaos.evidence import Evidence

LATE_SECONDS = 2.0
"""What no claim may be late by, whatever happened to Redis, to servers, or to other workers."""


def of(found: Evidence) -> list[float]:
    """Returns, sorted, how many seconds after it could start each claim started, by the database's clock.

    Not of what waits after a lost lease: its worker's death came before.
    """
    return sorted(
        (log.timestamp - max(log.execution_time, before.timestamp)).total_seconds()
        for logs in found.logs.values()
        for before, log in itertools.pairwise(logs)
        if log.change == "started" and before.change != "lease_lost"
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Returns the value that so many percent of the sorted values do not exceed."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def require_on_time(found: Evidence, tell: Callable[[str], None], *, seconds_of_most: float = LATE_SECONDS) -> None:
    """Tells how late claims were; fails if one was later than LATE_SECONDS, or one in a hundred than that."""
    late = of(found)
    median, high = (percentile(late, percent) for percent in (50, 99))
    tell(f"{len(late)} claims, late by {median:.3f} s in the median, {high:.3f} s at 99 %, {late[-1]:.3f} s at most")
    assert high <= seconds_of_most
    assert late[-1] <= LATE_SECONDS
