"""How many suspects may be in one worker."""

import pytest

from duetime_core.store import claims
from duetime_worker import suspects
from tests import runs


@pytest.mark.parametrize(("places", "most"), [(1, [1, 1]), (15, [1, 1]), (16, [2, 1]), (100, [12, 1])])
def test_fewer_may_come_with_each_lease_that_they_lost(places: int, most: list[int]) -> None:
    here = suspects.Suspects(places)
    assert [here.room(level) for level in (2, 3)] == most


def test_a_suspect_takes_room_of_its_level_until_it_is_discarded() -> None:
    here = suspects.Suspects(16)
    for task_id, lost_leases in {1: 0, 2: 1, 3: 2, 4: 2, 5: 7}.items():
        here.add(runs.claimed(task_id=task_id, lost_leases=lost_leases))
    assert [here.room(level) for level in (2, 3)] == [0, 0]
    assert here.discard([1, 3, 5, 99])
    assert [here.room(level) for level in (2, 3)] == [1, 1]
    assert not here.discard([1, 3])


def test_there_is_room_for_every_level_that_is_claimed() -> None:
    assert all(suspects.Suspects(100).room(level) for level in claims.LEVELS)
