"""The lease guard: it decides whether an expired lease proves that its worker is lost."""

import datetime

_SHORTEST_BREAK = datetime.timedelta(seconds=2)
"""Two sweeps: one sweep of a worker that is merely busy may be late."""


class LeaseGuard:
    """Tracks how long the database has committed for this worker without a break. Times are by the database's clock.

    While the database is unavailable, frozen, or cannot commit, no worker can extend its leases: after it has
    recovered, expired leases prove nothing. A worker that noticed such a break reclaims nothing for one whole lease. By
    then every live worker has extended its leases: its lease keeper retries four times a second. A worker that has just
    started does not know what was before. It waits for a third of a lease, in which each lease keeper extends if it
    can, so that tasks are still reclaimed in time if all workers died and are restarted.

    This requires that all workers have the same lease, of 4 s or more: a shorter one may expire in a break too short
    to be noticed. A worker that cannot reach a database which the others can reach counts as lost.
    """

    def __init__(self, lease: datetime.timedelta) -> None:
        self._lease = lease
        # A shorter break leaves each lease a third of its time, in which a hanging attempt and the next one fit.
        self._longest_silence = max(lease / 3, _SHORTEST_BREAK)
        self._wait = lease / 3
        self._since: datetime.datetime | None = None
        self._last: datetime.datetime | None = None

    def interrupt(self) -> None:
        """Records that the database was unavailable."""
        self._since = self._last = None
        self._wait = self._lease

    def is_long_enough(self, now: datetime.datetime) -> bool:
        """Records the database's time after a commit; returns whether expired leases may be reclaimed."""
        if self._last is not None and not datetime.timedelta(0) <= now - self._last <= self._longest_silence:
            self.interrupt()
        self._last = now
        self._since = self._since or now
        return now - self._since >= self._wait
