"""The token bucket that keeps a rate."""

import datetime

import pytest

from duetime_core.model import queue

NOW = datetime.datetime(2026, 11, 26, 9, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


def test_it_grows_by_the_rate_up_to_a_tenth_of_a_second_and_one_more() -> None:
    bucket = queue.TokenBucket(per_second=100, tokens=0, at=NOW)
    bucket.advance(NOW + SECOND / 20)
    assert bucket.tokens == pytest.approx(5)
    bucket.advance(NOW + SECOND)
    assert bucket.tokens == bucket.capacity == 11


def test_a_slow_rate_allows_one_start_after_a_pause() -> None:
    bucket = queue.TokenBucket(per_second=0.01, tokens=0, at=NOW)
    assert bucket.next_at() == NOW + 100 * SECOND
    bucket.advance(bucket.next_at())
    assert bucket.tokens == pytest.approx(1)


def test_a_clock_that_was_set_back_adds_nothing() -> None:
    bucket = queue.TokenBucket(per_second=100, tokens=1, at=NOW)
    bucket.advance(NOW - SECOND)
    assert bucket.tokens == 1
    bucket.advance(NOW - SECOND / 2)
    assert bucket.tokens == 11


def test_a_started_task_is_paid_for_before_the_next_one_starts() -> None:
    bucket = queue.TokenBucket(per_second=10, tokens=1, at=NOW)
    bucket.tokens -= 1
    assert bucket.next_at() == NOW + SECOND / 10
