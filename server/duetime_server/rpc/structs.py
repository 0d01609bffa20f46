"""Reading protobuf's Struct: into a JSON object, checked and counted as it is read, so that too much ends it early."""

import math
from typing import Any

from google.protobuf import struct_pb2

from duetime_core.model import payload

MOST_BYTES = payload.MAX_BYTES * 11 // 2 + 1024
"""The largest message of what is small enough as JSON: of `[1,1,1]` each two characters are eleven bytes."""
_LONGEST = 13
"""How many bytes of JSON one that `_Reader` counts can be: `-1.7976931348623157e+308,` is counted as two."""


def read(value: struct_pb2.Struct) -> dict[str, Any]:
    """Returns a JSON object; raises payload.PayloadError if it cannot be stored and returned exactly.

    A number is an int if it is whole and exact. Whether 9007199254740993 was written, or 9007199254740992.0, a message
    does not say: beyond ±(2^53 - 1) it is the float that it is.
    """
    if value.ByteSize() > MOST_BYTES:
        raise payload.PayloadError("", payload.TOO_LARGE)
    reader = _Reader()
    try:
        found = reader.members(value, 1)
    except _WholeError as error:
        raise payload.PayloadError("", error.problem) from None
    except _PartError as error:
        raise payload.PayloadError("".join(reversed(error.path)), error.problem) from None
    if reader.counted * _LONGEST > payload.MAX_BYTES:
        payload.write(found)  # which knows
    return found


class _WholeError(Exception):
    """What is wrong with all of it."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


class _PartError(Exception):
    """What is wrong with one value, and the parts of its path, the last one first."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.path: list[str] = []


class _Reader:
    """Counts, in `counted`, at most as many bytes as the JSON text has."""

    def __init__(self) -> None:
        self.counted = 1

    def members(self, struct: struct_pb2.Struct, depth: int) -> dict[str, Any]:
        """Reads an object at that depth."""
        if depth > payload.MAX_DEPTH:
            raise _WholeError(payload.TOO_DEEP)
        read = {}
        for key, value in struct.fields.items():
            self.counted += len(key) + 3
            if "\0" in key:
                raise _PartError(payload.HAS_NUL)
            try:
                read[key] = self._value(value, depth)
            except _PartError as error:
                error.path.append(f".{key}")
                raise
        return read

    def _items(self, items: struct_pb2.ListValue, depth: int) -> list[Any]:
        if depth > payload.MAX_DEPTH:
            raise _WholeError(payload.TOO_DEEP)
        read: list[Any] = []
        for value in items.values:
            try:
                read.append(self._value(value, depth))
            except _PartError as error:
                error.path.append(f"[{len(read)}]")
                raise
        return read

    def _value(self, value: struct_pb2.Value, depth: int) -> Any:
        self.counted += 2
        if self.counted > payload.MAX_BYTES:
            raise _WholeError(payload.TOO_LARGE)
        kind = value.WhichOneof("kind")
        if kind == "string_value":
            return self._text(value.string_value)
        if kind == "number_value":
            return _number(value.number_value)
        if kind == "struct_value":
            return self.members(value.struct_value, depth + 1)
        if kind == "list_value":
            return self._items(value.list_value, depth + 1)
        return value.bool_value if kind == "bool_value" else None

    def _text(self, text: str) -> str:
        self.counted += len(text) + 1
        if "\0" in text:
            raise _PartError(payload.HAS_NUL)
        return text


def _number(value: float) -> int | float:
    if not math.isfinite(value):
        raise _PartError(payload.NOT_FINITE)
    return payload.number(value)
