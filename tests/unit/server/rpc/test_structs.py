"""Structs are read into exactly what was sent, or refused as `payload.encode` refuses it, early if they are large."""

import json
import math
import random
from typing import Any

import pytest
from google.protobuf import struct_pb2

from duetime_core.model import payload
from duetime_server.rpc import structs
from duetime_server.tasks import messages as task_messages


def written(value: dict[str, Any]) -> struct_pb2.Struct:
    return task_messages.struct(value)


def random_value(chance: random.Random, depth: int) -> Any:
    match chance.randrange(9 if depth else 7):
        case 0:
            return None
        case 1:
            return chance.random() < 0.5
        case 2:
            return chance.choice([0, 1, -1, 2**53 - 1, -(2**53 - 1), chance.randrange(10**6)])
        case 3:
            return chance.choice([0.1, -2.5, 1e22, 6.02214076e23, 2.0**53, -1.7e308, 5e-324, chance.random()])
        case 4 | 5:
            return "".join(chance.choice('ab"\\é\x01🙂\u2028') for _ in range(chance.randrange(8)))
        case 6:
            return chance.choice([[], {}])
        case 7:
            return [random_value(chance, depth - 1) for _ in range(chance.randrange(5))]
        case _:
            return {chance.choice("abcdeé\n"): random_value(chance, depth - 1) for _ in range(chance.randrange(5))}


def same(one: Any, other: Any) -> bool:
    """Returns whether two values are the same, of the same types."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("seed", range(200))
def test_sent_values_are_read_and_stored_values_read_back_the_same(seed: int) -> None:
    chance = random.Random(seed)
    value = {"a": random_value(chance, 4), "b": random_value(chance, 4)}
    read = structs.read(written(value))
    assert same(read, value)
    # As JSONB writes it: numbers without an exponent.
    assert same(payload.decode(payload.encode(read)), value)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (5.0, 5),
        (-0.0, 0),
        (2.0**53 - 1, 2**53 - 1),
        (2.0**53, 2.0**53),
        (-(2.0**53), -(2.0**53)),
        (1e16, 1e16),
        (2.0**63, 2.0**63),
        (6.02214076e23, 6.02214076e23),
        (1.7976931348623157e308, 1.7976931348623157e308),
        (5e-324, 5e-324),
    ],
)
def test_a_number_is_an_int_where_it_is_exact_and_else_the_float_that_it_is(number: float, expected: float) -> None:
    read = structs.read(written({"x": number}))["x"]
    assert (read, type(read)) == (expected, type(expected))


@pytest.mark.parametrize(
    "text", ["10000000000000000000000", "602214076000000000000000", "9007199254740992", "1" + "0" * 308]
)
def test_a_double_survives_jsonb(text: str) -> None:
    for sign in ("", "-"):
        read = payload.decode(f'{{"x":[{sign}{text}]}}'.encode())["x"][0]
        assert isinstance(read, float)
        assert read == float(sign + text)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_an_invalid_number_is_refused_with_its_path(number: float) -> None:
    with pytest.raises(payload.PayloadError) as refused:
        structs.read(written({"a": [1, {"b": number}]}))
    assert (refused.value.path, refused.value.problem) == (".a[1].b", "must be a finite number")


@pytest.mark.parametrize(
    ("task_data", "path", "problem"),
    [
        ({"$secret": "smtp/password"}, "", "must not be a reference to a secret as a whole; write it where"),
        ({"a": [{"$secret": "x", "b": 1}]}, ".a[0]", "must have $secret alone"),
        ({"a": {"b": {"$secret": "../x"}}}, ".a.b.$secret", "must be the name of a secret, such as smtp/password"),
        ({"a": {"$secret": {"$secret": "x"}}}, ".a.$secret", "must be the name of a secret"),
        ({"a": [{"$secret": "x"}] * 21}, "", "must have at most 20 references to secrets"),
    ],
)
def test_an_object_that_is_no_reference_to_a_secret_is_refused_with_its_path(
    task_data: dict[str, Any], path: str, problem: str
) -> None:
    with pytest.raises(payload.PayloadError) as refused:
        structs.read(written(task_data))
    assert refused.value.path == path
    assert refused.value.problem.startswith(problem)


def test_references_to_secrets_are_read_as_they_are() -> None:
    given = {"a": [{"$secret": "smtp/password"}] * 20, "$": "$secret"}
    assert structs.read(written(given)) == given


@pytest.mark.parametrize(
    ("task_data", "path"),
    [
        ({"$enc": {"k": "a", "n": "", "c": ""}}, ".$enc.n"),
        ({"$enc": None}, ".$enc"),
        ({"$enc": {"k": "a", "n": "A" * 16, "c": "A" * 24}, "a": 1}, ""),
    ],
)
def test_encrypted_task_data_of_another_form_is_refused_with_its_path(task_data: dict[str, Any], path: str) -> None:
    with pytest.raises(payload.PayloadError) as refused:
        structs.read(written(task_data))
    assert refused.value.path == path


def test_encrypted_task_data_is_read_as_it_is() -> None:
    given = {"$enc": {"k": "a", "n": "A" * 16, "c": "A" * 24}}
    assert structs.read(written(given)) == given


def levels(count: int, wrap: Any) -> dict[str, Any]:
    value: Any = 0
    for _ in range(count - 1):
        value = wrap(value)
    return {"a": value}


WRAPS = {"objects": lambda value: {"a": value}, "lists": lambda value: [value]}


@pytest.mark.parametrize("wrap", WRAPS)
def test_twenty_levels_are_read_and_more_are_refused(wrap: str) -> None:
    deep = levels(payload.MAX_DEPTH, WRAPS[wrap])
    assert structs.read(written(deep)) == deep
    with pytest.raises(payload.PayloadError, match=r"^must be nested at most 20 levels deep$"):
        structs.read(written(levels(payload.MAX_DEPTH + 1, WRAPS[wrap])))


FILLINGS: dict[str, Any] = {
    "zeros": 0,
    "long numbers": -1.7976931348623157e308,
    "nothing": None,
    "texts": "",
    "control characters": "\x01" * 10,
    "emoji": "🙂" * 5,
    "objects": {},
    "lists": [],
    "one in a list": [1],
    "one in an object": {"a": 1},
}


@pytest.mark.parametrize("filling", FILLINGS)
def test_the_largest_payload_is_read_and_one_value_more_is_refused(filling: str) -> None:
    each = len(json.dumps(FILLINGS[filling], ensure_ascii=False, separators=(",", ":")).encode()) + 1
    most = (payload.MAX_BYTES - len('{"a":[]}') + 1) // each
    assert structs.read(written({"a": [FILLINGS[filling]] * most}))
    with pytest.raises(payload.PayloadError, match=r"^must be at most 256 KiB as JSON$"):
        structs.read(written({"a": [FILLINGS[filling]] * (most + 1)}))


def test_reading_stops_where_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    read_value = structs._Reader._value

    def counting(self: Any, value: struct_pb2.Value, depth: int) -> Any:
        nonlocal looked_at
        looked_at += 1
        return read_value(self, value, depth)

    monkeypatch.setattr(structs._Reader, "_value", counting)
    for count, most in ((349_000, payload.MAX_BYTES // 2), (524_000, 0)):
        looked_at = 0
        with pytest.raises(payload.PayloadError, match="256 KiB"):
            structs.read(written({"a": [{}] * count}))
        assert looked_at <= most
