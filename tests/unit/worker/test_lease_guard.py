"""When a worker may take a lease that ran out as a proof."""

import datetime

from duetime_worker import lease_guard
from tests.support import runs

LEASE = datetime.timedelta(seconds=15)


def at(seconds: float) -> datetime.datetime:
    return runs.MOMENT + datetime.timedelta(seconds=seconds)


def kept(upto: int) -> lease_guard.LeaseGuard:
    """A vigil over the seconds 0 to `upto`."""
    keeping = lease_guard.LeaseGuard(LEASE)
    for second in range(upto + 1):
        keeping.is_long_enough(at(second))
    return keeping


def test_a_worker_that_has_just_started_waits_for_a_third_of_a_lease() -> None:
    keeping = lease_guard.LeaseGuard(LEASE)
    assert [keeping.is_long_enough(at(second)) for second in range(7)] == [False] * 5 + [True] * 2


def test_after_an_outage_it_waits_for_one_whole_lease_from_when_the_database_is_back() -> None:
    keeping = kept(10)
    keeping.interrupt()
    assert not any(keeping.is_long_enough(at(20 + second)) for second in range(15))
    assert keeping.is_long_enough(at(35))


def test_a_worker_that_starts_in_an_outage_waits_for_one_whole_lease() -> None:
    keeping = lease_guard.LeaseGuard(LEASE)
    keeping.interrupt()
    assert not any(keeping.is_long_enough(at(second)) for second in range(15))
    assert keeping.is_long_enough(at(15))


def test_a_silence_that_nobody_noticed_as_an_outage_counts_as_one() -> None:
    keeping = kept(10)  # then everything stands still, as on a computer that sleeps
    assert not any(keeping.is_long_enough(at(3600 + second)) for second in range(15))
    assert keeping.is_long_enough(at(3615))


def test_a_clock_that_goes_back_begins_the_vigil_anew() -> None:
    keeping = kept(3610)
    assert not any(keeping.is_long_enough(at(second)) for second in range(15))
    assert keeping.is_long_enough(at(15))


def test_a_sweep_that_comes_late_is_no_silence() -> None:
    assert kept(10).is_long_enough(at(17))
