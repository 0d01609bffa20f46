"""Quarantine: limits how many tasks run at once whose last leases were lost with their workers.

Each of them may be a poison task, which kills its workers. See `store.claiming.fast`.
"""

import datetime
import enum
import time
from collections.abc import Callable, Iterable

from duetime_core.model import task

_MOST = 32
"""A poison task takes down those that run with it, and these then run one at a time: more would wait for minutes."""


class Source(enum.Enum):
    """Where due tasks are claimed from apart from their queues."""

    QUARANTINE = "quarantine"


class Quarantine:
    """The quarantined tasks that run here, and how many more may be claimed.

    Of tasks that lost two leases, at most an eighth of the concurrency and 32, so that they can neither delay nor kill
    all others; of tasks that lost more, one, so that no two of them are lost together. So a poison task takes down any
    other task at most three times.

    A run counts only for its first two leases: poison tasks kill their workers soon after they start. Otherwise long
    tasks whose machines died would wait for hours, each for the one before it.
    """

    def __init__(
        self, concurrency: int, lease: datetime.timedelta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        few = min(max(1, concurrency // 8), _MOST)
        self._limits = {task.QUARANTINE_LEASES: few, task.QUARANTINE_LEASES + 1: 1}  # by level
        self._probation_seconds = 2 * lease.total_seconds()
        self._clock = clock
        self._levels: dict[int, int] = {}  # by task_id
        self._started: dict[int, float] = {}  # by task_id

    def add(self, claimed: task.Task) -> None:
        """Counts a claimed task, if it is quarantined."""
        if claimed.lost_leases >= task.QUARANTINE_LEASES:
            self._levels[claimed.task_id] = min(claimed.lost_leases, max(self._limits))
            self._started[claimed.task_id] = self._clock()

    def discard(self, task_ids: Iterable[int]) -> bool:
        """Stops counting these tasks; returns whether any of them was counted."""
        counted = self._levels.keys() & set(task_ids)
        for task_id in counted:
            del self._levels[task_id], self._started[task_id]
        return bool(counted)

    def free_slots(self, level: int) -> int:
        """Returns how many more tasks of a level, one of `fast.LEVELS`, may be claimed."""
        probation_since = self._clock() - self._probation_seconds
        counted = [
            task_id
            for task_id, its_level in self._levels.items()
            if its_level == level and self._started[task_id] > probation_since
        ]
        return max(0, self._limits[level] - len(counted))
