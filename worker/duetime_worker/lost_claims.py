"""Lost claims: claims whose response did not arrive, although PostgreSQL may have committed them, or may yet do so."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator

import structlog

from duetime_core.model import errors
from duetime_core.postgres import clock
from duetime_core.store.claiming import rescue
from duetime_worker import context

_log = structlog.get_logger()


class LostClaims:
    """Releases the tasks of lost claims from `queue`, or without one from the quarantine.

    They are running by their rows, and this worker does not know of them. No worker would extend their leases, so each
    would spend a retry without a run. A claim that was delayed by the network, or by a frozen PostgreSQL, may be
    committed after a release that found nothing. So releases are repeated until one lease after the database responded
    again.
    """

    def __init__(self, here: context.Context, queue: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._here = here
        self._queue = queue
        self._clock = clock
        self.are_possible = False
        """Whether a claim may be lost."""
        self._ends_at: float | None = None  # set once the database has responded

    @contextlib.contextmanager
    def unless_answered(self) -> Iterator[None]:
        """Records that a claim may be lost if the block raises or is cancelled."""
        try:
            yield
        except BaseException:
            self.are_possible = True
            self._ends_at = None
            raise

    async def release(self, held: Callable[[], Collection[int]]) -> None:
        """Releases this worker's running tasks from there except `held`, the ids of all tasks that it knows of.

        No other claim of this worker from there may be in progress, except lost ones.
        """
        try:
            with self.unless_answered():
                # The release may be delayed as well, and must not touch tasks that are claimed after it was sent.
                # A claim whose commit hangs may still be committed: the database counts as recovered once it commits.
                now = await clock.now_if_it_commits(self._here.engine)
                released = await rescue.release(
                    self._here.engine,
                    worker_id=self._here.worker_id,
                    queue=self._queue,
                    held=held(),
                    claimed_before=now,
                )
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
            return
        self._here.database_outage.end()
        if self._ends_at is None:
            self._ends_at = self._clock() + self._here.lease.total_seconds()
        self.are_possible = self._clock() < self._ends_at
        if released:
            _log.warning("released tasks of a lost claim", task_ids=[each.task_id for each in released])
            self._here.bell.announce(released)
