"""Suspects: tasks whose last run ended with their worker, so that they may be what ended it. See `store.claims`."""

from collections.abc import Iterable

from duetime_core import task


class Suspects:
    """The suspects that are here, and how many more may come.

    Of those that lost one lease a quarter of all places, so that what comes next is not held up by them, and does not
    all go down with them; of those that lost more in a row one, so that no two of them end together again.
    """

    def __init__(self, places: int) -> None:
        self._most = max(1, places // 4)
        self._lost_leases: dict[int, int] = {}  # by task_id

    def add(self, claimed: task.Task) -> None:
        """Counts a task that was claimed, if it is a suspect."""
        if claimed.lost_leases:
            self._lost_leases[claimed.task_id] = claimed.lost_leases

    def discard(self, task_ids: Iterable[int]) -> bool:
        """Counts those no more; tells whether any of them was counted."""
        gone = self._lost_leases.keys() & set(task_ids)
        for task_id in gone:
            del self._lost_leases[task_id]
        return bool(gone)

    def room(self, *, often: bool) -> int:
        """How many more may come of those that lost one lease or, for `often`, more of them in a row."""
        here = sum((lost_leases > 1) is often for lost_leases in self._lost_leases.values())
        return (1 if often else self._most) - here
