"""Reading requests about queues."""

from typing import Any

import pytest
from google.protobuf import field_mask_pb2

from duetime.v1 import queue_service_pb2
from duetime_core.model import errors
from duetime_server.queues import requests


def update(*paths: str, **fields: Any) -> dict[str, Any]:
    request = queue_service_pb2.UpdateQueueRequest(**fields)
    if paths:
        request.update_mask.CopyFrom(field_mask_pb2.FieldMask(paths=paths))
    return requests.changes(request)


def test_present_fields_are_changed() -> None:
    assert update(paused=True, max_running=5, max_per_second=0.5) == {
        "is_paused": True,
        "max_running": 5,
        "max_per_second": 0.5,
    }


def test_a_limit_that_the_mask_names_and_the_request_leaves_unset_is_removed() -> None:
    assert update("max_running", "max_per_second_per_key") == {"max_running": None, "max_per_second_per_key": None}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"max_running": 0}, "max_running: must be from 1 to 1000000, not 0; to start no tasks, pause the queue"),
        ({"max_per_second": 0}, "max_per_second: must be from 0.001 to 100000 tasks per second, not 0"),
        ({"max_per_second_per_key": float("nan")}, "max_per_second_per_key: must be .* not nan"),
    ],
)
def test_a_limit_out_of_bounds_is_refused(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=problem):
        update(**fields)


def test_a_name_is_checked() -> None:
    assert requests.name("mail") == "mail"
    with pytest.raises(errors.InvalidArgument, match=r"^name: must be 1 to 100 characters of .*, not 'Mail'"):
        requests.name("Mail")
