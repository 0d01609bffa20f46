import pytest
import structlog.testing

from duetime_core.model import errors
from duetime_core.process import outage


def test_an_outage_is_said_once_and_its_end_once() -> None:
    gone = outage.Outage("redis", "the sweep looks")
    with structlog.testing.capture_logs() as logs:
        gone.end()
        gone.begin(OSError("refused\nand more"))
        gone.begin(OSError("refused again"))
        gone.end()
        gone.end()
    assert [(log["event"], log.get("error")) for log in logs] == [
        ("redis is gone; the sweep looks", "refused"),
        ("redis is back", None),
    ]


def test_an_outage_in_which_some_of_what_is_asked_succeeds_is_said_once() -> None:
    full = outage.Outage("the database", "creates fail", quiet_seconds=60)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            full.begin(OSError("No space left on device"))
            full.end()
    assert len(logs) == 1


@pytest.mark.parametrize(("error", "said"), [(TimeoutError(), "TimeoutError"), (ValueError("why"), "why")])
def test_an_outage_says_what_is_behind_it(error: Exception, said: str) -> None:
    ours = errors.StoreUnavailable()
    ours.__cause__ = error
    with structlog.testing.capture_logs() as logs:
        outage.Outage("the database", "it waits").begin(ours)
    assert logs[0]["error"] == said
