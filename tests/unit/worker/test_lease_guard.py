"""When an expired lease proves that its worker is lost."""

import datetime

from duetime_worker import lease_guard
from tests.support import runs

LEASE = datetime.timedelta(seconds=15)


def at(seconds: float) -> datetime.datetime:
    return runs.MOMENT + datetime.timedelta(seconds=seconds)


def guarding(upto: int) -> lease_guard.LeaseGuard:
    """A guard that saw the database respond in each second from 0 to `upto`."""
    guard = lease_guard.LeaseGuard(LEASE)
    for second in range(upto + 1):
        guard.is_long_enough(at(second))
    return guard


def test_a_worker_that_has_just_started_waits_for_a_third_of_a_lease() -> None:
    guard = lease_guard.LeaseGuard(LEASE)
    assert [guard.is_long_enough(at(second)) for second in range(7)] == [False] * 5 + [True] * 2


def test_after_an_outage_it_waits_for_one_whole_lease_from_the_recovery() -> None:
    guard = guarding(10)
    guard.interrupt()
    assert not any(guard.is_long_enough(at(20 + second)) for second in range(15))
    assert guard.is_long_enough(at(35))


def test_a_worker_that_starts_in_an_outage_waits_for_one_whole_lease() -> None:
    guard = lease_guard.LeaseGuard(LEASE)
    guard.interrupt()
    assert not any(guard.is_long_enough(at(second)) for second in range(15))
    assert guard.is_long_enough(at(15))


def test_a_long_silence_counts_as_an_outage() -> None:
    guard = guarding(10)  # then everything is suspended, as on a laptop that sleeps
    assert not any(guard.is_long_enough(at(3600 + second)) for second in range(15))
    assert guard.is_long_enough(at(3615))


def test_a_clock_that_is_set_back_counts_as_an_outage() -> None:
    guard = guarding(3610)
    assert not any(guard.is_long_enough(at(second)) for second in range(15))
    assert guard.is_long_enough(at(15))


def test_a_late_sweep_is_no_silence() -> None:
    assert guarding(10).is_long_enough(at(14))
