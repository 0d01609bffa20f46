"""The leases that a worker holds."""

from duetime_worker import held_leases
from tests.support import factories, runs


def test_a_lease_ends_with_its_last_task() -> None:
    leases = held_leases.HeldLeases()
    first, second = (runs.claimed(task_id=task_id, lease_id=7) for task_id in (1, 2))
    leases.add([first, second])
    assert leases.ended_by([factories.outcome(first)]) == []
    leases.discard([factories.outcome(first)])
    assert leases.ended_by([factories.outcome(second)]) == [7]


def test_a_lease_whose_tasks_ended_in_two_batches_ends_with_the_next_one() -> None:
    leases = held_leases.HeldLeases()
    first, second = (runs.claimed(task_id=task_id, lease_id=7) for task_id in (1, 2))
    leases.add([first, second])
    for each in (first, second):
        leases.discard([factories.outcome(each)])
    assert leases.has_empty
    assert leases.ended_by([]) == [7]
    leases.forget([7])
    assert (leases.has_empty, leases.ids) == (False, set())


def test_a_lease_id_that_a_failover_has_given_again_is_held() -> None:
    leases = held_leases.HeldLeases()
    before, after, other = (runs.claimed(task_id=task_id, lease_id=7) for task_id in (1, 2, 3))
    leases.add([before])
    leases.discard([factories.outcome(before)])
    leases.add([after, other])
    assert not leases.has_empty
    assert leases.ended_by([factories.outcome(after)]) == []
