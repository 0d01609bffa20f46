"""Reads protobuf's Struct into a JSON object; checks and counts as it reads, so that it stops early if too large."""

import math
from typing import Any

from google.protobuf import struct_pb2

import duetime_payloads
from duetime_core.model import payload, secret

MAX_BYTES = payload.MAX_BYTES * 11 // 2 + 1024
"""The largest message whose JSON can be small enough: in `[1,1,1]`, two characters become eleven bytes."""
_MAX_RATIO = 13
"""How many bytes of JSON each byte counted by `_Reader` may be: `-1.7976931348623157e+308,` is counted as two."""


def read(value: struct_pb2.Struct) -> dict[str, Any]:
    """Returns a JSON object; raises payload.PayloadError if it cannot be stored and returned exactly.

    A number is an int if it is whole and exact. Beyond ±(2^53 - 1) it stays a float, because the message does not
    say whether 9007199254740993 or 9007199254740992.0 was written.
    """
    if value.ByteSize() > MAX_BYTES:
        raise payload.PayloadError("", payload.TOO_LARGE)
    reader = _Reader()
    try:
        found = reader.members(value, 1)
    except _WholeError as error:
        raise payload.PayloadError("", error.problem) from None
    except _PartError as error:
        raise payload.PayloadError("".join(reversed(error.path)), error.problem) from None
    if secret.KEY in found:
        raise payload.PayloadError("", secret.IS_ALL)
    if duetime_payloads.is_encrypted(found) and (wrong := duetime_payloads.problem(found)):
        raise payload.PayloadError(*wrong)
    if reader.counted * _MAX_RATIO > payload.MAX_BYTES:
        payload.write(found)  # decides exactly
    return found


class _WholeError(Exception):
    """A problem of the whole object."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


class _PartError(Exception):
    """A problem of one value, with the parts of its path, the last one first."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        self.path: list[str] = []


class _Reader:
    """Reads values; `counted` is a lower bound of the bytes of their JSON."""

    def __init__(self) -> None:
        self.counted = 1
        self._references = 0

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
        if secret.KEY in read:
            self._reference(read)
        return read

    def _reference(self, read: dict[str, Any]) -> None:
        try:
            secret.check(read)
        except secret.InvalidReference as invalid:
            error = _PartError(invalid.problem)
            error.path.append(invalid.path)
            raise error from None
        self._references += 1
        if self._references > secret.MAX_REFERENCES:
            raise _WholeError(secret.TOO_MANY)

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
