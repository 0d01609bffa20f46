"""Suspects: tasks whose last runs ended with their workers, so that they may be what ended them. See `store.claims`."""

import datetime
import time
from collections.abc import Callable, Iterable

from duetime_core.model import task


class Quarantine:
    """The quarantined tasks that run here, and how many more may be claimed.

    Of tasks that lost two leases, at most an eighth of the concurrency, so that they can neither delay nor take down
    all others; of tasks that lost more, one, so that no two of them end together. So a task that ends its workers
    takes down no other more than three times.

    That is of tasks that end their workers soon after they begin. A run that has gone on for two leases makes room for
    the next: else long tasks whose machines died would wait for hours, each for the one before it.
    """

    def __init__(
        self, concurrency: int, lease: datetime.timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = {2: max(1, concurrency // 8), 3: 1}
        self._doubtful_seconds = 2 * lease.total_seconds()
        self._clock = clock
        self._levels: dict[int, int] = {}  # by task_id
        self._began: dict[int, float] = {}  # by task_id

    def add(self, claimed: task.Task) -> None:
        """Counts a task that was claimed, if it is a suspect."""
        if claimed.lost_leases >= min(self._most):
            self._levels[claimed.task_id] = min(claimed.lost_leases, max(self._most))
            self._began[claimed.task_id] = self._clock()

    def discard(self, task_ids: Iterable[int]) -> bool:
        """Counts those no more; tells whether any of them was counted."""
        gone = self._levels.keys() & set(task_ids)
        for task_id in gone:
            del self._levels[task_id], self._began[task_id]
        return bool(gone)

    def room(self, level: int) -> int:
        """How many more may come of that level: one of `claims.LEVELS`."""
        doubtful_since = self._clock() - self._doubtful_seconds
        doubtful = [
            task_id
            for task_id, its_level in self._levels.items()
            if its_level == level and self._began[task_id] > doubtful_since
        ]
        return max(0, self._most[level] - len(doubtful))
