"""Suspects: tasks whose last run ended with their worker, so that they may be what ended it. See `store.claims`."""

from collections.abc import Iterable

from duetime_core import task


class Suspects:
    """The suspects that are here, and how many more may come.

    Of those that lost one lease a quarter of all places, so that they neither hold up all others nor take them along
    again; of those that lost two a quarter of that; of all others one, so that no two of them ever end together. So a
    task that ends its workers takes no other along more than three times. One at a time from the second on would make
    it two, but after two crashes that no task is to blame for everything that ran would wait for one another.
    """

    def __init__(self, places: int) -> None:
        self._most = {1: max(1, places // 4), 2: max(1, places // 16), 3: 1}
        self._levels: dict[int, int] = {}  # by task_id

    def add(self, claimed: task.Task) -> None:
        """Counts a task that was claimed, if it is a suspect."""
        if claimed.lost_leases:
            self._levels[claimed.task_id] = min(claimed.lost_leases, max(self._most))

    def discard(self, task_ids: Iterable[int]) -> bool:
        """Counts those no more; tells whether any of them was counted."""
        gone = self._levels.keys() & set(task_ids)
        for task_id in gone:
            del self._levels[task_id]
        return bool(gone)

    def room(self, level: int) -> int:
        """How many more may come of that level: one of `claims.LEVELS`."""
        return self._most[level] - list(self._levels.values()).count(level)
