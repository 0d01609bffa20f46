"""How many suspects may be in one worker."""

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


@pytest.mark.parametrize(("concurrency", "most"), [(1, [1, 1]), (15, [1, 1]), (16, [2, 1]), (100, [12, 1])])
def test_fewer_may_come_with_each_lease_that_they_lost(concurrency: int, most: list[int]) -> None:
    here = quarantine.Quarantine(concurrency, LEASE)
    assert [here.room(level) for level in (2, 3)] == most


def test_a_suspect_takes_room_of_its_level_until_it_is_discarded() -> None:
    here = quarantine.Quarantine(16, LEASE, Clock())
    for task_id, lost_leases in {1: 0, 2: 1, 3: 2, 4: 2, 5: 7}.items():
        here.add(runs.claimed(task_id=task_id, lost_leases=lost_leases))
    assert [here.room(level) for level in (2, 3)] == [0, 0]
    assert here.discard([1, 3, 5, 99])
    assert [here.room(level) for level in (2, 3)] == [1, 1]
    assert not here.discard([1, 3])


def test_there_is_room_for_every_level_that_is_claimed() -> None:
    here = quarantine.Quarantine(100, LEASE)
    assert all(here.room(level) for level in fast.LEVELS)


def test_a_suspect_makes_room_once_its_run_has_gone_on_for_two_leases() -> None:
    clock = Clock()
    here = quarantine.Quarantine(16, LEASE, clock)
    for task_id, lost_leases in {1: 2, 2: 2, 3: 3}.items():
        here.add(runs.claimed(task_id=task_id, lost_leases=lost_leases))
    clock.seconds += 29
    assert [here.room(level) for level in (2, 3)] == [0, 0]
    clock.seconds += 1
    assert [here.room(level) for level in (2, 3)] == [2, 1]
    here.add(runs.claimed(task_id=4, lost_leases=3))
    assert [here.room(level) for level in (2, 3)] == [2, 0]


def test_a_suspect_that_comes_again_is_doubtful_again() -> None:
    clock = Clock()
    here = quarantine.Quarantine(16, LEASE, clock)
    for _ in range(2):
        here.add(runs.claimed(task_id=1, lost_leases=3))
        assert here.room(3) == 0
        clock.seconds += 30
        assert here.room(3) == 1


def test_of_long_suspects_each_begins_two_leases_after_the_one_before_it() -> None:
    clock = Clock()
    here = quarantine.Quarantine(100, LEASE, clock)
    began = []
    for second in range(120):
        if here.room(3):
            here.add(runs.claimed(task_id=second, lost_leases=3))
            began.append(second)
        clock.seconds += 1
    assert began == [0, 30, 60, 90]
