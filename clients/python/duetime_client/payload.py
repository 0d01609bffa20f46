"""Checks task_data, a JSON object, and converts it to and from protobuf's Struct.

A Struct holds every number as a double and every string as UTF-8. A value that would come back changed is refused
here, naming its path, before anything is sent.
"""

import math
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2

from duetime_client import errors, scalar

MAX_DEPTH = 20
"""The contract's limit, checked here because protobuf's parsers fail on deeper messages without an explanation."""
MAX_EXACT_INTEGER = 2**53 - 1
_MAX_SHOWN = 200


def to_struct(value: object, field: str) -> struct_pb2.Struct:
    """Returns a mapping of JSON values as a Struct; raises InvalidArgument naming the path below `field`."""
    if not isinstance(value, Mapping):
        raise _invalid(field, f"must be an object (a dict), not {type(value).__name__}")
    plain = _checked(value, field, 1)
    struct = struct_pb2.Struct()
    struct.update(plain)
    return struct


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Returns a Struct as a dict; whole numbers that are exact come back as int."""
    return {key: _from_value(value) for key, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= MAX_EXACT_INTEGER else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [_from_value(member) for member in value.list_value.values]
        case _:
            return None


def _checked(value: object, path: str, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _checked_text(value, path)
        case int() if abs(value) > MAX_EXACT_INTEGER:
            raise _invalid(path, "is outside ±9007199254740991, where JSON numbers are exact; send a string")
        case float() if not math.isfinite(value):
            raise _invalid(path, f"is {value}, which JSON cannot represent; send null or a string")
        case int() | float():
            return value
        case Mapping() | list() | tuple() if depth > MAX_DEPTH:
            raise _invalid(path, f"is nested more than {MAX_DEPTH} levels deep")
        case Mapping():
            return dict(_checked_members(value, path, depth))
        case list() | tuple():
            return [_checked(member, f"{path}[{index}]", depth + 1) for index, member in enumerate(value)]
        case _:
            raise _invalid(path, f"is a {type(value).__name__}, which JSON cannot represent")


def _checked_members(value: Mapping[Any, object], path: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, member in value.items():
        if not isinstance(key, str):
            raise _invalid(path, f"has the key {reprlib.repr(key)}; keys must be strings")
        yield _checked_text(key, path), _checked(member, f"{path}.{key}", depth + 1)


def _checked_text(text: str, path: str) -> str:
    if "\0" in text:
        raise _invalid(path, "must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid(path, f"must be {scalar.VALID_UNICODE}") from None
    return text


def _invalid(path: str, description: str) -> errors.InvalidArgument:
    shown = path if len(path) <= _MAX_SHOWN else f"{path[:_MAX_SHOWN]}…"  # it consists of the caller's keys
    return errors.invalid(shown, description)
