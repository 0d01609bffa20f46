"""Failures in a row: the pause grows up to a maximum, and a new row begins anew."""

import structlog.testing

from duetime_core.process import failures


def test_the_pause_before_a_retry_doubles_up_to_a_maximum() -> None:
    with structlog.testing.capture_logs():
        failing = failures.Failures("service failed", service="sweep")
        pauses = [failing.add(ValueError("no")) for _ in range(20)]
    assert pauses[:4] == [failures.FIRST_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert set(pauses[6:]) == {failures.LONGEST_SECONDS}


def test_only_the_first_failure_of_a_row_is_logged_with_its_traceback() -> None:
    failing = failures.Failures("claim failed", queue="mail")
    with structlog.testing.capture_logs() as lines:
        failing.add(ValueError("no"))
        failing.add(ValueError("no\nmore"))
        failing.end()
        failing.add(ValueError("no"))
    assert ["exc_info" in line for line in lines] == [True, False, True]
    assert lines[1]["error"] == "ValueError: no"
    assert [line["count"] for line in lines] == [1, 2, 1]
