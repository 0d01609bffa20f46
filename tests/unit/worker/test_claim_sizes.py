"""How many tasks a claim asks for, by the sizes of the last ones and by failures."""

import pytest

from duetime_worker import claim_sizes
from tests.support import runs

QUEUE = "default"


@pytest.mark.parametrize(("size", "most"), [(10, 500), (7_000, 500), (250_000, 15)])
def test_a_claim_asks_for_as_many_tasks_as_fit_by_the_sizes_of_the_last_ones(size: int, most: int) -> None:
    sizes = claim_sizes.ClaimSizes()
    assert sizes.limit(QUEUE, 500) == 500
    sizes.succeeded(QUEUE, claim_sizes.average([runs.claimed(task_data={"a": "x" * size})] * 10))
    assert sizes.limit(QUEUE, 500) == most
    assert sizes.limit("another", 500) == 500


def test_a_claim_that_failed_is_halved_until_it_succeeds() -> None:
    sizes = claim_sizes.ClaimSizes()
    asked = []
    for _ in range(4):
        asked.append(sizes.limit(QUEUE, 100))
        sizes.failed(QUEUE, asked[-1])
    assert asked == [100, 50, 25, 12]
    for _ in range(5):
        sizes.succeeded(QUEUE, claim_sizes.average([]))
    assert sizes.limit(QUEUE, 100) == 100
