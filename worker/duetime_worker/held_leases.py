"""The leases that this worker holds, and the tasks of each whose outcomes are not recorded yet."""

from collections.abc import Collection, Iterable

from duetime_core.model import task
from duetime_core.store.tasks import outcomes as task_outcomes

_Claimed = tuple[int, int]
"""task_id and claimed version."""


class HeldLeases:
    """Knows the lease of each claimed task, from its claim until its outcome is recorded or fenced out."""

    def __init__(self) -> None:
        self._tasks: dict[int, set[_Claimed]] = {}  # by lease
        self._leases: dict[_Claimed, int] = {}

    @property
    def ids(self) -> set[int]:
        """The ids of all leases, of those too that have no tasks left and are to be deleted."""
        return set(self._tasks)

    def add(self, claimed: Collection[task.Task]) -> None:
        """Adds the tasks of a claim."""
        for each in claimed:
            assert each.lease_id is not None
            self._tasks.setdefault(each.lease_id, set()).add((each.task_id, each.version))
            self._leases[each.task_id, each.version] = each.lease_id

    def of(self, task_ids: Collection[int]) -> set[int]:
        """Returns the leases of those tasks."""
        return {lease_id for (task_id, _), lease_id in self._leases.items() if task_id in task_ids}

    def tasks(self, lease_id: int) -> set[_Claimed]:
        """Returns the tasks of a lease."""
        return self._tasks.get(lease_id, set())

    def ended_by(self, outcomes: Collection[task_outcomes.Outcome]) -> list[int]:
        """Returns the leases that have no other tasks than these."""
        ended = {(outcome.task_id, outcome.version) for outcome in outcomes}
        touched = {self._leases[each] for each in ended if each in self._leases}
        empty = [lease_id for lease_id, tasks in self._tasks.items() if not tasks]
        return [*empty, *(lease_id for lease_id in touched if self._tasks[lease_id] <= ended)]

    def discard(self, claimed: Iterable[_Claimed]) -> None:
        """Removes tasks whose outcomes were recorded or fenced out, or whose leases were lost."""
        for each in claimed:
            lease_id = self._leases.pop(each, None)
            if lease_id is not None:
                self._tasks[lease_id].discard(each)

    def forget(self, lease_ids: Iterable[int]) -> None:
        """Removes leases without tasks, once they are deleted."""
        for lease_id in lease_ids:
            if not self._tasks.get(lease_id, {None}):
                del self._tasks[lease_id]
