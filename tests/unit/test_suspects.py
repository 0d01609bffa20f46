"""How many suspects may be in one worker."""

import pytest

from duetime_worker import suspects
from tests import runs


@pytest.mark.parametrize(("places", "once"), [(1, 1), (4, 1), (7, 1), (8, 2), (100, 25)])
def test_a_quarter_of_all_places_is_for_those_that_lost_one_lease_and_one_for_all_others(
    places: int, once: int
) -> None:
    here = suspects.Suspects(places)
    assert (here.room(often=False), here.room(often=True)) == (once, 1)


def test_a_suspect_takes_room_of_its_kind_until_it_is_discarded() -> None:
    here = suspects.Suspects(8)
    for task_id, lost_leases in {1: 0, 2: 1, 3: 1, 4: 5}.items():
        here.add(runs.claimed(task_id=task_id, lost_leases=lost_leases))
    assert (here.room(often=False), here.room(often=True)) == (0, 0)
    assert here.discard([1, 3, 4, 99])
    assert (here.room(often=False), here.room(often=True)) == (1, 1)
    assert not here.discard([1, 3])
