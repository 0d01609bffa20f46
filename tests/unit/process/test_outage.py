import pytest
import structlog.testing

from duetime_core.model import errors
from duetime_core.process import outage


def test_an_outage_and_its_end_are_each_logged_once() -> None:
    redis = outage.Outage("redis", "the sweep finds due tasks")
    with structlog.testing.capture_logs() as logs:
        redis.end()
        redis.begin(OSError("refused\nand more"))
        redis.begin(OSError("refused again"))
        redis.end()
        redis.end()
    assert [(log["event"], log.get("error")) for log in logs] == [
        ("redis is unavailable; the sweep finds due tasks", "refused"),
        ("redis recovered", None),
    ]


def test_an_outage_in_which_some_calls_succeed_is_logged_once() -> None:
    full = outage.Outage("the database", "creates fail", quiet_seconds=60)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            full.begin(OSError("No space left on device"))
            full.end()
    assert len(logs) == 1


@pytest.mark.parametrize(("error", "message"), [(TimeoutError(), "TimeoutError"), (ValueError("why"), "why")])
def test_an_outage_logs_its_cause(error: Exception, message: str) -> None:
    ours = errors.StoreUnavailable()
    ours.__cause__ = error
    with structlog.testing.capture_logs() as logs:
        outage.Outage("the database", "it waits").begin(ours)
    assert logs[0]["error"] == message
