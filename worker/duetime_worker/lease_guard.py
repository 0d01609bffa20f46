"""The vigil: whether a lease that ran out proves that its worker is lost."""

import datetime

_SHORTEST_BREAK = datetime.timedelta(seconds=2)
"""Two sweeps: a worker that is merely busy has to be allowed one that comes late."""


class LeaseGuard:
    """How long this worker has seen the database answer without a break. Times are by the database's clock.

    While the database is away, or stands still with everything around it, no worker can extend its leases: when it
    is back they may all have run out, and prove nothing. A worker that saw such a break waits for one whole lease
    before it takes anything back. By then each living worker has extended its leases: its keeper tries four times a
    second. A worker that has just started cannot know what was before. It waits for a third of a lease, in which each
    keeper extends if it can; so it is still in time where all workers died and are started again.

    It holds for workers with the same lease, of 4 s or more; a shorter one may run out in a break too short to be
    noticed. And it holds no worker's leases that cannot reach a database that the others can: that one counts as lost.
    """

    def __init__(self, lease: datetime.timedelta) -> None:
        self._lease = lease
        self._longest_silence = max(lease / 2, _SHORTEST_BREAK)
        self._wait = lease / 3
        self._since: datetime.datetime | None = None
        self._last: datetime.datetime | None = None

    def interrupt(self) -> None:
        """Notes that the database could not be reached."""
        self._since = self._last = None
        self._wait = self._lease

    def is_long_enough(self, now: datetime.datetime) -> bool:
        """Notes that the database answered with its time, and tells whether a lease that ran out proves anything."""
        if self._last is not None and not datetime.timedelta(0) <= now - self._last <= self._longest_silence:
            self.interrupt()
        self._last = now
        self._since = self._since or now
        return now - self._since >= self._wait
