"""The token bucket of each owner."""

import pytest

from duetime_server.access import buckets


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    clock = Clock()
    limited = buckets.Buckets(10, 20, clock=clock)
    assert [limited.take("a", 1) for _ in range(21)] == [0.0] * 20 + [pytest.approx(0.1)]
    clock.now += 0.1
    assert [limited.take("a", 1) for _ in range(2)] == [0.0, pytest.approx(0.1)]
    clock.now += 3_600
    assert [limited.take("a", 4) for _ in range(6)] == [0.0] * 5 + [pytest.approx(0.4)]


def test_owners_do_not_share_a_bucket() -> None:
    limited = buckets.Buckets(10, 1, clock=Clock())
    assert [limited.take(owner, 1) == 0 for owner in ("a", "a", "b")] == [True, False, True]


def test_what_costs_more_than_a_bucket_holds_is_allowed_once_it_is_full() -> None:
    clock = Clock()
    limited = buckets.Buckets(10, 20, clock=clock)
    assert limited.take("a", 50) == 0
    assert limited.take("a", 50) == pytest.approx(5)  # 30 in debt
    clock.now += 5
    assert limited.take("a", 50) == 0


def test_those_who_wait_a_little_have_their_tokens_one_after_another() -> None:
    clock = Clock()
    limited = buckets.Buckets(10, 1, clock=clock)
    waits = [limited.take("a", 1, patience_seconds=0.25) for _ in range(5)]
    assert waits == [0.0, *(pytest.approx(seconds) for seconds in (0.1, 0.2, 0.3, 0.3))]
    clock.now += 0.1
    assert limited.take("a", 1, patience_seconds=0.25) == pytest.approx(0.2)


def test_a_debt_is_paid_before_the_next_call() -> None:
    clock = Clock()
    limited = buckets.Buckets(10, 20, clock=clock)
    limited.charge("a", 1_020)
    assert limited.take("a", 1) == pytest.approx(100.1)
    clock.now += 100.1
    assert limited.take("a", 1) == pytest.approx(0, abs=1e-6)


def test_owners_that_are_not_seen_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MAX_OWNERS", 3)
    limited = buckets.Buckets(10, 1, clock=Clock())
    for owner in ("a", "b", "c", "a", "d"):
        limited.take(owner, 1)
    assert list(limited._buckets) == ["c", "a", "d"]
    assert [limited.take(owner, 1) == 0 for owner in ("a", "b")] == [False, True]
