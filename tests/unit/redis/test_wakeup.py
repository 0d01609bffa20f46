import datetime

import pytest

from duetime_core.redis import wakeup

MOMENT = datetime.datetime(2026, 11, 24, 9, 0, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)


@pytest.mark.parametrize("after", [0, 1, 4_999, 9_999, 10_000, 10_001])
def test_a_slot_begins_at_or_after_the_moment_and_less_than_a_slot_later(after: int) -> None:
    moment = MOMENT + after * MICROSECOND
    begins = wakeup.start_of(wakeup.slot_of(moment))
    assert moment <= begins < moment + wakeup.SLOT


def test_moments_within_a_slot_share_it() -> None:
    slots = {wakeup.slot_of(MOMENT + after * MICROSECOND) for after in range(1, 10_001, 100)}
    assert len(slots) == 1


def test_a_job_is_written_as_json_and_read_back() -> None:
    job: dict[str, object] = {"f": "wakeup", "a": ["default"], "k": {}, "t": None, "et": 1}
    assert wakeup.deserialize(wakeup.serialize(job)) == job
