"""Deadlines that add up fit into the lease."""

import datetime

import pytest

from duetime_core.postgres import connection
from duetime_server.rpc import deadline
from duetime_worker import deadlines, sweep


@pytest.mark.parametrize("seconds", [1, 2, 4, 15, 60, 3600])
def test_two_attempts_to_extend_a_lease_fit_into_it(seconds: float) -> None:
    of = deadlines.Deadlines.of(datetime.timedelta(seconds=seconds))
    assert of.extend_every + 2 * of.extension + deadlines.RETRY_SECONDS < seconds


def test_a_lease_into_which_they_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a lease of 0\.5 s is too short: two attempts to extend it take 0\.58"):
        deadlines.Deadlines.of(datetime.timedelta(seconds=0.5))


@pytest.mark.parametrize("seconds", [4, 6, 15, 60])
def test_a_claim_without_an_answer_is_released_within_its_lease(seconds: float) -> None:
    of = deadlines.Deadlines.of(datetime.timedelta(seconds=seconds))
    assert of.answer + sweep.INTERVAL_SECONDS < seconds


def test_no_statement_is_awaited_longer_than_by_other_processes() -> None:
    assert deadlines.Deadlines.of(datetime.timedelta(hours=1)).answer == connection.ANSWER_SECONDS


def test_a_call_that_reaches_its_deadline_counts_its_connection_as_silent() -> None:
    assert connection.SILENT_SECONDS < deadline.CALL_SECONDS
