"""Sets one field of a message, with an error that names the field instead of protobuf's own message."""

from __future__ import annotations

import reprlib
from typing import Any, TypeVar

from google.protobuf import descriptor
from google.protobuf import message as protobuf_message

from duetime_client import errors

Message = TypeVar("Message", bound=protobuf_message.Message)

VALID_UNICODE = "valid Unicode, without lone surrogates"
_BOUNDS = {
    descriptor.FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    descriptor.FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    descriptor.FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    descriptor.FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def assign(target: protobuf_message.Message, name: str, path: str, value: object) -> None:
    """Sets the field, an enum by name; raises InvalidArgument, naming `path`, for an invalid value."""
    field = target.DESCRIPTOR.fields_by_name[name]
    try:
        setattr(target, name, value if field.enum_type is None else _number(field.enum_type, value))
    except (TypeError, ValueError):
        raise errors.invalid(path, f"must be {_expected(field, value)}") from None


def filled(target: Message, **values: object) -> Message:
    """Returns the message, with the values that are not None."""
    for name, value in values.items():
        if value is not None:
            assign(target, name, name, value)
    return target


def choice(message: protobuf_message.Message, name: str) -> str:
    """Returns the name of the enum value that a field has; of one that this release does not know, its number."""
    number = getattr(message, name)
    field: Any = message.DESCRIPTOR.fields_by_name[name]
    value = field.enum_type.values_by_number.get(number)
    return str(number) if value is None else value.name


def _number(kind: Any, value: object) -> int:
    if value == "":
        return 0
    if not isinstance(value, str) or not getattr(kind.values_by_name.get(value), "number", 0):
        raise ValueError(value)
    number: int = kind.values_by_name[value].number
    return number


def _expected(field: Any, value: object) -> str:
    if field.enum_type is not None:
        names = ", ".join(each.name for each in field.enum_type.values if each.number)
        return f"one of {names}, not {reprlib.repr(value)}"
    given = type(value).__name__
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_STRING:
        return VALID_UNICODE if isinstance(value, str) else f"a string, not {given}"
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_BOOL:
        return f"True or False, not {given}"
    if (bounds := _BOUNDS.get(field.cpp_type)) is None:
        return f"a number, not {given}"
    if isinstance(value, int | float):
        given = reprlib.repr(value)
    return f"a whole number from {bounds[0]} to {bounds[1]}, not {given}"
