import datetime
import decimal
from typing import Any

import pytest

import duetime_client
from duetime_client import payload


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"text": "Grüße ✓", "empty": "", "true": True, "false": False, "nothing": None},
        {"whole": 3, "negative": -7, "half": 0.5, "largest": 2**53 - 1, "smallest": -(2**53) + 1},
        {"huge": 1e22, "mole": 6.02214076e23, "largest": 1.7976931348623157e308, "least": -(2.0**53)},
        {"huge": 1e300, "list": [1, [2, {"three": [3]}], []], "object": {"a": {"b": {}}}},
        nested(20),
    ],
)
def test_payload_comes_back_unchanged(value: dict[str, Any]) -> None:
    returned = payload.from_struct(payload.to_struct(value, "task_data"))
    assert returned == value
    assert repr(returned) == repr({key: returned[key] for key in returned})
    for key, member in value.items():
        assert type(returned[key]) is type(member)


def test_tuples_are_lists_and_whole_floats_are_ints() -> None:
    returned = payload.from_struct(payload.to_struct({"pair": (1, 2.0)}, "task_data"))
    assert returned == {"pair": [1, 2]}
    assert type(returned["pair"][1]) is int


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"order": {"id": 2**53}}, "task_data.order.id", "send a string"),
        ({"order": {"id": -(2**53)}}, "task_data.order.id", "send a string"),
        ({"list": [1, {"x": float("nan")}]}, "task_data.list[1].x", "is nan"),
        ({"x": float("inf")}, "task_data.x", "is inf"),
        ({"x": "a\0b"}, "task_data.x", "NUL"),
        ({"a\0b": 1}, "task_data", "NUL"),
        ({"x": "\ud800"}, "task_data.x", "surrogates"),
        ({"x": {1: 2}}, "task_data.x", "has the key 1; keys must be strings"),
        ({"x": decimal.Decimal(1)}, "task_data.x", "is a Decimal"),
        ({"x": datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)}, "task_data.x", "is a datetime"),
        ({"x": {1, 2}}, "task_data.x", "is a set"),
        ({"x": b"bytes"}, "task_data.x", "is a bytes"),
        ([1], "task_data", "must be an object"),
        ("{}", "task_data", "must be an object"),
    ],
)
def test_payload_that_would_come_back_changed_is_refused_with_its_path(value: Any, path: str, problem: str) -> None:
    with pytest.raises(duetime_client.InvalidArgument, match=problem) as caught:
        payload.to_struct(value, "task_data")
    ((field, description),) = caught.value.violations
    assert field == path
    assert problem in description


def test_payload_nested_too_deeply_is_refused_even_if_it_contains_itself() -> None:
    endless: dict[str, Any] = {}
    endless["a"] = endless
    for value in (nested(21), endless):
        with pytest.raises(duetime_client.InvalidArgument, match="more than 20 levels"):
            payload.to_struct(value, "task_data")


@pytest.mark.parametrize("value", [{"k" * 100_000: 2**53}, {"a": {10**4_000: 1}}])
def test_error_is_short_even_if_keys_are_long(value: dict[str, Any]) -> None:
    with pytest.raises(duetime_client.InvalidArgument) as caught:
        payload.to_struct(value, "task_data")
    assert len(str(caught.value)) < 400
