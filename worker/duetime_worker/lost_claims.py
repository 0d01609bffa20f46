"""Lost claims: those whose answer did not arrive, though PostgreSQL may have committed them, or may do so yet."""

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
    """Hands back the tasks that lost claims brought: they run in this worker's name, and it does not know of them.

    Nobody would extend their leases, so each would spend a retry without a run. A claim that the network or a
    PostgreSQL that stood still held up is committed after a look that found nothing. So the looks go on until one
    lease after the database answered again.
    """

    def __init__(self, here: context.Context, clock: Callable[[], float] = time.monotonic) -> None:
        self._here = here
        self._clock = clock
        self.are_possible = False
        """Whether there may be any."""
        self._ends_at: float | None = None  # once the database has answered

    @contextlib.contextmanager
    def unless_answered(self) -> Iterator[None]:
        """Notes that a claim may be lost, if the block is left by an error or is cancelled."""
        try:
            yield
        except BaseException:
            self.are_possible = True
            self._ends_at = None
            raise

    async def release(self, held: Callable[[], Collection[int]]) -> None:
        """Hands back what runs in this worker's name and is not one of `held`, the ids of all that it knows of.

        No claim of this worker may be under way, but for lost ones.
        """
        try:
            with self.unless_answered():
                # This statement may be held up as well. What is claimed after it was sent is none of its business.
                now = await clock.now(self._here.engine)
                released = await rescue.release(
                    self._here.engine, worker_id=self._here.worker_id, held=held(), claimed_before=now
                )
        except errors.StoreUnavailable as error:
            self._here.database_outage.begin(error)
            return
        self._here.database_outage.end()
        if self._ends_at is None:
            self._ends_at = self._clock() + self._here.lease.total_seconds()
        self.are_possible = self._clock() < self._ends_at
        if released:
            _log.warning("handed back tasks of a lost claim", task_ids=[each.task_id for each in released])
            self._here.bell.announce(released)
