import json
from typing import Any

import pytest

from duetime_core.model import payload


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": None, "b": [True, False], "c": {"d": "é\u2028\U0001f600"}},
        {"largest": 2**53 - 1, "smallest": -(2**53 - 1), "tiny": 5e-324, "huge": 1.7e308},
        {"not a NUL": "\\u0000"},
    ],
)
def test_a_json_object_is_encoded_so_that_it_comes_back_as_it_was(value: dict[str, Any]) -> None:
    assert json.loads(payload.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"a": {"b": [0, {"c": "\0"}]}}, ".a.b[1].c", "must not contain the NUL character"),
        ({"a": "\ud800"}, ".a", "must be valid Unicode, without lone surrogates"),
        ({"a": 2**53}, ".a", "is beyond what a JSON number holds exactly (±9007199254740991); send a string"),
        ({"a": float("nan")}, ".a", "must be a finite number"),
        ({"a": object()}, ".a", "is a object, which JSON does not have"),
        ({"a": {1: 2}}, ".a", "has the key 1; keys must be strings"),
        ({"a": "x" * payload.MAX_BYTES}, "", "must be at most 256 KiB as JSON"),
        ({"a": "é" * (payload.MAX_BYTES // 2)}, "", "must be at most 256 KiB as JSON"),
    ],
)
def test_a_value_that_cannot_be_stored_is_refused_with_its_path(value: dict[str, Any], path: str, problem: str) -> None:
    with pytest.raises(payload.PayloadError) as refused:
        payload.encode(value)
    assert (refused.value.path, refused.value.problem) == (path, problem)


def test_lists_and_tuples_are_nested_as_little_as_objects() -> None:
    for wrap in (lambda inner: [inner], lambda inner: (inner,)):
        value: object = 0
        for _ in range(payload.MAX_DEPTH):
            value = wrap(value)
        with pytest.raises(payload.PayloadError, match="must be nested at most 20 levels deep"):
            payload.encode({"a": value})


def test_nesting_is_limited_without_ever_running_out_of_stack() -> None:
    value: dict[str, Any] = {}
    for _ in range(payload.MAX_DEPTH - 1):
        value = {"a": value}
    payload.encode(value)
    for _ in range(100_000):
        value = {"a": value}
    with pytest.raises(payload.PayloadError, match="must be nested at most 20 levels deep"):
        payload.encode(value)
    while value:  # or Python itself runs out of stack as it takes the value down
        value = value["a"]
