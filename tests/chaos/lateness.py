"""How late tasks started."""

import itertools
from collections.abc import Callable, Sequence

from tests.chaos.evidence import Evidence

LATE_SECONDS = 2.0
"""The lateness that no claim may exceed under any fault of Redis, of servers or of other workers."""


def of(found: Evidence) -> list[float]:
    """Returns, sorted, the lateness of each claim in seconds by the database's clock.

    Claims after a lost lease are excluded: they wait for the lease to expire.
    """
    return sorted(
        (log.timestamp - max(log.execution_time, before.timestamp)).total_seconds()
        for logs in found.logs.values()
        for before, log in itertools.pairwise(logs)
        if log.change == "started" and before.change != "lease_lost"
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """Returns a percentile of the sorted values."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))]


def require_on_time(found: Evidence, show: Callable[[str], None], *, seconds_of_most: float = LATE_SECONDS) -> None:
    """Prints the lateness; fails if a claim was later than LATE_SECONDS, or 1 % later than `seconds_of_most`."""
    late = of(found)
    median, high = (percentile(late, percent) for percent in (50, 99))
    show(f"{len(late)} claims, late by {median:.3f} s in the median, {high:.3f} s at 99 %, {late[-1]:.3f} s at most")
    assert high <= seconds_of_most
    assert late[-1] <= LATE_SECONDS
