"""Invalid values of a message's fields: the error names the field, and never quotes protobuf."""

import datetime
from collections.abc import Callable
from typing import Any

import pytest

import duetime_client

DUE = datetime.datetime(2026, 12, 1, 9, tzinfo=datetime.UTC)
LONE = "\udcff"  # what Python makes of a byte on the command line that is not UTF-8
UNICODE = "must be valid Unicode, without lone surrogates"

Call = Callable[[duetime_client.Client], Any]
CASES: dict[str, tuple[Call, str]] = {
    "the name of a task": (lambda client: client.create(LONE, DUE), f"name: {UNICODE}"),
    "a request_id": (lambda client: client.create("N", DUE, request_id=LONE), f"request_id: {UNICODE}"),
    "a zone": (
        lambda client: client.create("N", duetime_client.LocalTime(DUE.replace(tzinfo=None), LONE)),
        f"time_zone: {UNICODE}",
    ),
    "the queue of a list": (lambda client: next(client.list(queue=LONE)), f"queue: {UNICODE}"),
    "the name of a list": (lambda client: next(client.list(name=LONE)), f"name: {UNICODE}"),
    "the queue of a watch": (lambda client: client.watch_all(queue=LONE), f"queue: {UNICODE}"),
    "the cursor of a watch": (lambda client: next(client.watch_all(cursor=LONE)), f"cursor: {UNICODE}"),
    "the cursor of a task's watch": (lambda client: next(client.watch(1, LONE)), f"cursor: {UNICODE}"),
    "the queue of a bulk": (lambda client: client.cancel_many(queue=LONE), f"queue: {UNICODE}"),
    "where tasks move": (lambda client: client.move_many(to_queue=LONE, all=True), f"queue: {UNICODE}"),
    "a queue": (lambda client: client.get_queue(LONE), f"name: {UNICODE}"),
    "a queue that is paused": (lambda client: client.pause_queue(LONE), f"name: {UNICODE}"),
    "a queue that is updated": (lambda client: client.update_queue(LONE, paused=True), f"name: {UNICODE}"),
    "a schedule's cron": (lambda client: client.create_schedule("N", "T", cron=LONE), f"cron: {UNICODE}"),
    "a schedule's request_id": (
        lambda client: client.create_schedule("N", "T", request_id=LONE),
        f"request_id: {UNICODE}",
    ),
    "a blackout's days": (
        lambda client: client.create_schedule("N", "T", blackouts=[duetime_client.Blackout(days=[LONE])]),
        "blackouts[0].days: must be names of days, such as monday",
    ),
    "a policy that does not exist": (
        lambda client: client.create_schedule("N", "T", overlap="forbid"),  # type: ignore[arg-type]
        "overlap: must be one of allow, skip, queue, not 'forbid'",
    ),
    "a policy that is a number": (
        lambda client: client.update_schedule(1, missing_time=1),  # type: ignore[arg-type]
        "missing_time: must be one of shift, skip, not 1",
    ),
    "what a blackout does": (
        lambda client: client.create_schedule(
            "N",
            "T",
            blackouts=[duetime_client.Blackout(behavior="unspecified")],  # type: ignore[arg-type]
        ),
        "blackouts[0].behavior: must be one of skip, move, not 'unspecified'",
    ),
    "a trigger's request_id": (lambda client: client.trigger_schedule(1, request_id=LONE), f"request_id: {UNICODE}"),
    "a number that is a text": (
        lambda client: client.create("N", DUE, max_retries="3"),  # type: ignore[arg-type]
        "max_retries: must be a whole number from 0 to 4294967295, not str",
    ),
    "a negative number": (
        lambda client: client.create("N", DUE, max_retries=-1),
        "max_retries: must be a whole number from 0 to 4294967295, not -1",
    ),
    "a huge number": (
        lambda client: client.update_schedule(1, name="N", version=10**4_000),
        "version: must be a whole number from 0 to 4294967295, not 1000",
    ),
    "a text that is a number": (
        lambda client: client.create(7, DUE),  # type: ignore[arg-type]
        "name: must be a string, not int",
    ),
    "a rate that is a text": (
        lambda client: client.update_queue("N", max_per_second="1"),  # type: ignore[arg-type]
        "max_per_second: must be a number, not str",
    ),
    "a switch that is a text": (
        lambda client: client.update_queue("N", paused="no"),  # type: ignore[arg-type]
        "paused: must be True or False, not str",
    ),
}


@pytest.mark.parametrize(("call", "problem"), CASES.values(), ids=CASES)
def test_invalid_value_is_refused_with_its_field(call: Call, problem: str) -> None:
    with (
        duetime_client.Client("127.0.0.1:1") as client,
        pytest.raises(duetime_client.InvalidArgument) as caught,
    ):
        call(client)
    assert str(caught.value).startswith(problem)
    assert len(str(caught.value)) < 200
