"""The leases that this worker holds, and the tasks of each whose outcomes are not recorded yet."""

from collections.abc import Collection, Iterable

from duetime_core.model import task
from duetime_core.store.tasks import outcomes as task_outcomes


class HeldLeases:
    """Knows the claimed tasks of each lease, from their claim until their outcomes are recorded or fenced out."""

    def __init__(self) -> None:
        self._versions: dict[int, dict[int, int]] = {}  # by lease: task_id → claimed version
        self._empty: set[int] = set()  # leases without tasks

    @property
    def ids(self) -> set[int]:
        """The ids of all leases, of those too that have no tasks left and are to be deleted."""
        return set(self._versions)

    @property
    def has_empty(self) -> bool:
        """Whether there are leases without tasks, which are to be deleted."""
        return bool(self._empty)

    def add(self, claimed: Collection[task.Task]) -> None:
        """Adds the tasks of a claim."""
        for each in claimed:
            assert each.lease_id is not None
            self._empty.discard(each.lease_id)  # a failover that lost it gives the id again
            self._versions.setdefault(each.lease_id, {})[each.task_id] = each.version

    def of(self, task_ids: Collection[int]) -> set[int]:
        """Returns the leases of those tasks."""
        return {lease_id for lease_id, held in self._versions.items() if not held.keys().isdisjoint(task_ids)}

    def tasks(self, lease_id: int) -> dict[int, int]:
        """Returns the tasks of a lease: task_id → claimed version."""
        return self._versions.get(lease_id, {})

    def ended_by(self, outcomes: Collection[task_outcomes.Outcome]) -> list[int]:
        """Returns the leases that have no other tasks than these."""
        ended: dict[int, set[int]] = {}
        for outcome in outcomes:
            assert outcome.lease_id is not None
            ended.setdefault(outcome.lease_id, set()).add(outcome.task_id)
        known = ((lease_id, self._versions.get(lease_id), task_ids) for lease_id, task_ids in ended.items())
        return [*self._empty, *(lease_id for lease_id, held, task_ids in known if held and held.keys() <= task_ids)]

    def discard(self, outcomes: Iterable[task_outcomes.Outcome]) -> None:
        """Removes tasks whose outcomes were recorded or fenced out."""
        for outcome in outcomes:
            self.lose(outcome.lease_id, outcome.task_id)

    def lose(self, lease_id: int | None, task_id: int) -> None:
        """Removes a task."""
        assert lease_id is not None
        if (held := self._versions.get(lease_id)) is not None:
            held.pop(task_id, None)
            if not held:
                self._empty.add(lease_id)

    def forget(self, lease_ids: Iterable[int]) -> None:
        """Removes leases that are deleted."""
        for lease_id in lease_ids:
            self._versions.pop(lease_id, None)
            self._empty.discard(lease_id)
