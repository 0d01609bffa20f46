"""How many quarantined tasks may run in one worker."""

import datetime

import pytest

from duetime_core.store.claiming import fast
from duetime_worker import quarantine
from tests.support import runs

LEASE = datetime.timedelta(seconds=15)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("concurrency", "most"), [(1, [1, 1]), (15, [1, 1]), (16, [2, 1]), (100, [12, 1]), (1_000, [32, 1])]
)
def test_fewer_may_run_with_each_lease_that_they_lost(concurrency: int, most: list[int]) -> None:
    limited = quarantine.Quarantine(concurrency, LEASE)
    assert [limited.free_slots(level) for level in (2, 3)] == most


def test_a_quarantined_task_holds_a_slot_of_its_level_until_it_is_discarded() -> None:
    limited = quarantine.Quarantine(16, LEASE, Clock())
    for task_id, lost_leases in {1: 0, 2: 1, 3: 2, 4: 2, 5: 7}.items():
        limited.add(runs.claimed(task_id=task_id, lost_leases=lost_leases))
    assert [limited.free_slots(level) for level in (2, 3)] == [0, 0]
    assert limited.discard([1, 3, 5, 99])
    assert [limited.free_slots(level) for level in (2, 3)] == [1, 1]
    assert not limited.discard([1, 3])


def test_every_level_has_a_slot() -> None:
    limited = quarantine.Quarantine(100, LEASE)
    assert all(limited.free_slots(level) for level in fast.LEVELS)


def test_a_quarantined_task_frees_its_slot_once_it_has_run_for_two_leases() -> None:
    clock = Clock()
    limited = quarantine.Quarantine(16, LEASE, clock)
    for task_id, lost_leases in {1: 2, 2: 2, 3: 3}.items():
        limited.add(runs.claimed(task_id=task_id, lost_leases=lost_leases))
    clock.seconds += 29
    assert [limited.free_slots(level) for level in (2, 3)] == [0, 0]
    clock.seconds += 1
    assert [limited.free_slots(level) for level in (2, 3)] == [2, 1]
    limited.add(runs.claimed(task_id=4, lost_leases=3))
    assert [limited.free_slots(level) for level in (2, 3)] == [2, 0]


def test_a_task_that_is_claimed_again_holds_a_slot_again() -> None:
    clock = Clock()
    limited = quarantine.Quarantine(16, LEASE, clock)
    for _ in range(2):
        limited.add(runs.claimed(task_id=1, lost_leases=3))
        assert limited.free_slots(3) == 0
        clock.seconds += 30
        assert limited.free_slots(3) == 1


def test_long_quarantined_tasks_start_two_leases_apart() -> None:
    clock = Clock()
    limited = quarantine.Quarantine(100, LEASE, clock)
    began = []
    for second in range(120):
        if limited.free_slots(3):
            limited.add(runs.claimed(task_id=second, lost_leases=3))
            began.append(second)
        clock.seconds += 1
    assert began == [0, 30, 60, 90]
