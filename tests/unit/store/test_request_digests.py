"""A request has the same digest in every release, so that a repeat after an upgrade returns what it created."""

import datetime

import pytest

from duetime_core.model import recurrence, schedule, task
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import create

TIME = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def local(instant: datetime.datetime) -> task.NewTask:
    time = datetime.datetime(2030, 7, 1, 9)  # noqa: DTZ001
    return task.NewTask("noop", instant, local_time=time, time_zone="Europe/Berlin", request_id="r")


def test_the_digest_of_a_request_does_not_change() -> None:
    new = task.NewTask("noop", TIME, {"a": 1, "é": "x"}, request_id="r")
    assert create._encode(new)["request_digest"] == "c22cabdb-5369-53a7-0bba-0afb10b1efa2"


def test_the_digest_of_a_local_time_is_the_same_under_every_time_zone_database() -> None:
    one, other = (local(instant) for instant in (TIME, TIME + HOUR))
    assert create._encode(one)["request_digest"] == create._encode(other)["request_digest"]
    assert create._encode(one)["request_digest"] == "8f6f5b66-8cbd-f678-474c-f092adf8296b"


def test_the_digest_of_a_local_time_by_the_first_release_does_not_change() -> None:
    assert create._encode(local(TIME))["earlier_digest"] == "b43a2eec-2a39-f333-6cd0-97806d60d926"


def test_the_request_id_is_not_part_of_the_digest() -> None:
    one, other = (task.NewTask("noop", TIME, request_id=request_id) for request_id in ("a", "b"))
    assert create._encode(one)["request_digest"] == create._encode(other)["request_digest"]


def test_the_digest_of_a_schedule_does_not_change_with_a_release_or_a_time_zone_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = recurrence.Spec(cron="0 3 * * *", time_zone="Europe/Berlin", start_time=TIME)
    new = schedule.NewSchedule("nightly", spec, schedule.Template("noop", {"a": 1, "é": "x"}), request_id="r")
    for version in ("2026a", "2026b"):
        monkeypatch.setattr(recurrence, "version", lambda version=version: version)
        assert str(schedule_edit._digest(new)) == "dd9dc9ff-a6a3-128f-eea2-3bd96c064ced"
