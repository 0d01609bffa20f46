"""The deadlines of a worker. All derive from its lease, so that those that add up fit into it.

A lease that was extended is extended again after a third of it. If the connection has fallen silent since, as behind a
firewall that forgot it, the first attempt fails at its deadline and the second one, on a fresh connection, must still
be in time. A claim whose answer does not come must fail, and the sweep after it release its tasks, within their lease.
"""

import dataclasses
import datetime

from duetime_core.postgres import connection

RETRY_SECONDS = 0.25
"""Between two attempts to extend leases."""
_LEAST_LEASE_SECONDS = 4.0
"""The shortest lease for which outages are tolerated. Answers are not awaited for less time for a shorter one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """In seconds."""

    extend_every: float
    """From the start of an extension that succeeds to the next one."""
    extension: float
    """How long an attempt to extend the leases may take, with its connection."""
    answer: float
    """How long any other statement may go unanswered."""

    @classmethod
    def of(cls, lease: datetime.timedelta) -> "Deadlines":
        """Returns those of a lease. Raises ValueError if two attempts to extend it do not fit into it."""
        seconds = lease.total_seconds()
        answer = min(connection.ANSWER_SECONDS, max(seconds, _LEAST_LEASE_SECONDS) * 2 / 3)
        derived = cls(extend_every=seconds / 3, extension=seconds / 6, answer=answer)
        needed = derived.extend_every + 2 * derived.extension + RETRY_SECONDS
        if needed >= seconds:
            raise ValueError(f"a lease of {seconds:g} s is too short: two attempts to extend it take {needed:g} s")
        return derived
