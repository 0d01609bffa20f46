"""Suspects: tasks whose last runs ended with their workers, so that they may be what ended them. See `store.claims`."""

from collections.abc import Iterable

from duetime_core import task


class Suspects:
    """The suspects that are here, and how many more may come.

    Of those that lost two leases an eighth of all places, so that they neither hold up all others nor take them along
    again; of those that lost more one, so that no two of them ever end together. So a task that ends its workers takes
    no other along more than three times.
    """

    def __init__(self, places: int) -> None:
        self._most = {2: max(1, places // 8), 3: 1}
        self._levels: dict[int, int] = {}  # by task_id

    def add(self, claimed: task.Task) -> None:
        """Counts a task that was claimed, if it is a suspect."""
        if claimed.lost_leases >= min(self._most):
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
