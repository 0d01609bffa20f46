"""A request has the same digest in every release, so that a repeat after an upgrade returns its task."""

import datetime

from duetime_core.model import task
from duetime_core.store.tasks import create

TIME = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def test_the_digest_of_a_request_does_not_change() -> None:
    new = task.NewTask("noop", TIME, {"a": 1, "é": "x"}, request_id="r")
    assert create._encode(new)["request_digest"] == "c22cabdb-5369-53a7-0bba-0afb10b1efa2"


def test_the_request_id_is_not_part_of_the_digest() -> None:
    one, other = (task.NewTask("noop", TIME, request_id=request_id) for request_id in ("a", "b"))
    assert create._encode(one)["request_digest"] == create._encode(other)["request_digest"]
