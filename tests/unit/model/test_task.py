import datetime

import pytest

from duetime_core.model import task


def seconds(policy: task.RetryPolicy, retry: int) -> float:
    return policy.backoff(retry).total_seconds()


def test_a_backoff_grows_by_its_multiplier_up_to_its_maximum() -> None:
    policy = task.RetryPolicy(datetime.timedelta(seconds=2), datetime.timedelta(seconds=50), multiplier=3.0, jitter=0.0)
    assert [seconds(policy, retry) for retry in (1, 2, 3, 4, 1000)] == [2, 6, 18, 50, 50]


def test_jitter_shortens_a_backoff_by_at_most_its_share() -> None:
    policy = task.RetryPolicy(datetime.timedelta(seconds=10), jitter=0.5)
    waits = [seconds(policy, 1) for _ in range(200)]
    assert all(5 <= wait <= 10 for wait in waits)
    assert len(set(waits)) > 100


@pytest.mark.parametrize("retry", [1, 5000])
def test_no_backoff_at_all_is_possible(retry: int) -> None:
    policy = task.RetryPolicy(datetime.timedelta(0), datetime.timedelta(0))
    assert seconds(policy, retry) == 0


def test_every_status_is_reached_and_every_move_begins_somewhere() -> None:
    targets = {move.target for move in task.MOVES.values()} - {None}
    assert targets | {task.Status.PENDING} == set(task.Status)
    assert all(move.sources for move in task.MOVES.values())
