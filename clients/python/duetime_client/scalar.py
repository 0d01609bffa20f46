"""Setting one field of a message, with a sentence about what is wrong instead of protobuf's own words."""

from __future__ import annotations

import reprlib
from typing import Any, TypeVar

from google.protobuf import descriptor
from google.protobuf import message as protobuf_message

from duetime_client import errors

Message = TypeVar("Message", bound=protobuf_message.Message)

_BOUNDS = {
    descriptor.FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    descriptor.FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    descriptor.FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    descriptor.FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def assign(target: protobuf_message.Message, name: str, path: str, value: object) -> None:
    """Sets the field; raises InvalidArgument, naming `path`, if it cannot have that value."""
    try:
        setattr(target, name, value)
    except (TypeError, ValueError):
        problem = f"must be {_right(target.DESCRIPTOR.fields_by_name[name], value)}"
        raise errors.InvalidArgument(errors.Violation(path, problem)) from None


def filled(target: Message, **values: object) -> Message:
    """Returns the message, with those fields that are not None."""
    for name, value in values.items():
        if value is not None:
            assign(target, name, name, value)
    return target


def _right(field: Any, value: object) -> str:
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_STRING:
        return "valid Unicode, without lone surrogates" if isinstance(value, str) else f"a string, not {_kind(value)}"
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_BOOL:
        return f"True or False, not {_kind(value)}"
    if (bounds := _BOUNDS.get(field.cpp_type)) is None:
        return f"a number, not {_kind(value)}"
    given = reprlib.repr(value) if isinstance(value, int | float) else _kind(value)
    return f"a whole number from {bounds[0]} to {bounds[1]}, not {given}"


def _kind(value: object) -> str:
    return type(value).__name__
