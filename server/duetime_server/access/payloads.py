"""Payloads in responses, which are emptied for principals who may not read them."""

import functools
from collections.abc import Sequence

import google.protobuf.message
from google.protobuf import descriptor

QUOTING = frozenset(
    {
        "duetime.v1.Task.error_message",
        "duetime.v1.TaskLog.error_message",
        "duetime.v1.Schedule.advance_error",
    }
)
"""The texts that may quote a payload. Those of `ExplainTask` that would are written without the quote."""
SETTINGS = frozenset({"duetime.v1.QueueLog.FieldChange.before", "duetime.v1.QueueLog.FieldChange.after"})
"""The fields that could hold anything, but hold the limits of a queue."""
_KINDS = frozenset(
    {
        *("google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue", "google.protobuf.Any"),
        *("google.protobuf.BytesValue", "google.protobuf.StringValue"),
    }
)
"""The messages that can hold anything: a field of one is a payload, also in a response that is new."""


def hide(message: google.protobuf.message.Message) -> None:
    """Empties all payloads in a message."""
    carrying, nested = _plan(message.DESCRIPTOR)
    for name in carrying:
        message.ClearField(name)
    for field in nested:
        value = getattr(message, field.name)
        if not field.is_repeated:
            if message.HasField(field.name):
                hide(value)
        else:
            for each in value:
                hide(each)


def carries(field: descriptor.FieldDescriptor) -> bool:
    """Returns whether a field can carry a payload."""
    if field.full_name in SETTINGS:
        return False
    if field.message_type is not None:
        return field.message_type.full_name in _KINDS or field.message_type.GetOptions().map_entry
    return field.type == descriptor.FieldDescriptor.TYPE_BYTES or field.full_name in QUOTING


@functools.cache
def _plan(kind: descriptor.Descriptor) -> tuple[Sequence[str], Sequence[descriptor.FieldDescriptor]]:
    """Returns the fields to empty, and those of messages in which there are some."""
    carrying = [field.name for field in kind.fields if carries(field)]
    nested = [
        field
        for field in kind.fields
        if field.message_type is not None and field.name not in carrying and any(_plan(field.message_type))
    ]
    return carrying, nested
