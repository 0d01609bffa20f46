"""Local times are read with their zone, into the instant at which they are due."""

import datetime

import pytest

from duetime.v1 import task_service_pb2
from duetime_core.model import errors
from duetime_server.rpc import violations
from duetime_server.tasks import local_times


def read(local_time: str, time_zone: str) -> object:
    problems = violations.Violations()
    request = task_service_pb2.CreateTaskRequest(local_time=local_time, time_zone=time_zone)
    found = local_times.read(request, problems)
    problems.check()
    return found


def test_a_local_time_has_an_instant() -> None:
    instant = datetime.datetime(2030, 7, 1, 8, tzinfo=datetime.UTC)
    local = instant.replace(hour=9, tzinfo=None)
    assert read("2030-07-01T09:00:00", "Europe/Lisbon") == (instant, local, "Europe/Lisbon")


@pytest.mark.parametrize(
    ("local_time", "time_zone", "problem"),
    [
        ("", "Europe/Lisbon", "local_time: is required with time_zone"),
        ("2030-07-01T09:00:00", "", "time_zone: is required with local_time"),
        ("tomorrow", "Europe/Lisbon", "local_time: must be a local time such as .*, not 'tomorrow'"),
        ("2030-07-01T09:00:00Z", "Europe/Lisbon", "local_time: must have no UTC offset"),
        ("2030-07-01T09:00:00", "Mars/Olympus", "time_zone: "),
        ("0001-01-01T00:00:00", "Asia/Tokyo", "local_time: must be a time between the years 1 and 9999"),
    ],
)
def test_an_invalid_local_time_is_refused(local_time: str, time_zone: str, problem: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=problem):
        read(local_time, time_zone)
