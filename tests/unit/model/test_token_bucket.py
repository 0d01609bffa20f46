"""The token bucket that keeps a rate."""

import datetime

import pytest

from duetime_core.model import queue

NOW = datetime.datetime(2026, 11, 26, 9, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


def test_it_grows_by_the_rate_up_to_a_tenth_of_a_second_and_one_more() -> None:
    allowance = queue.Allowance(per_second=100, tokens=0, at=NOW)
    allowance.advance(NOW + SECOND / 20)
    assert allowance.tokens == pytest.approx(5)
    allowance.advance(NOW + SECOND)
    assert allowance.tokens == allowance.capacity == 11


def test_a_slow_rate_lets_one_start_after_a_rest() -> None:
    allowance = queue.Allowance(per_second=0.01, tokens=0, at=NOW)
    assert allowance.next_at() == NOW + 100 * SECOND
    allowance.advance(allowance.next_at())
    assert allowance.tokens == pytest.approx(1)


def test_a_clock_that_was_set_back_adds_nothing() -> None:
    allowance = queue.Allowance(per_second=100, tokens=1, at=NOW)
    allowance.advance(NOW - SECOND)
    assert allowance.tokens == 1
    allowance.advance(NOW - SECOND / 2)
    assert allowance.tokens == 11


def test_a_started_task_is_paid_for_before_the_next_one_starts() -> None:
    allowance = queue.Allowance(per_second=10, tokens=1, at=NOW)
    allowance.tokens -= 1
    assert allowance.next_at() == NOW + SECOND / 10
