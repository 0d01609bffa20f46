"""Every field of every rpc, from the descriptors: requests that differ from a valid one in a single value."""

import datetime
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import (
    descriptor,
    duration_pb2,
    field_mask_pb2,
    message,
    message_factory,
    struct_pb2,
    timestamp_pb2,
)

from duetime.v1 import audit_service_pb2, key_service_pb2, queue_service_pb2, schedule_service_pb2, task_service_pb2

SERVICES = [
    service
    for definitions in (task_service_pb2, queue_service_pb2, schedule_service_pb2, key_service_pb2, audit_service_pb2)
    for service in definitions.DESCRIPTOR.services_by_name.values()
]
METHODS = {method.name: method for service in SERVICES for method in service.methods}

Path = tuple[descriptor.FieldDescriptor, ...]
_FIELD = descriptor.FieldDescriptor
_WELL_KNOWN = {
    kind.DESCRIPTOR.full_name
    for kind in (timestamp_pb2.Timestamp, duration_pb2.Duration, struct_pb2.Struct, field_mask_pb2.FieldMask)
}


class Case(NamedTuple):
    """A request of the rpc `method` with a value under test at `path`."""

    method: str
    path: str
    request: Any

    @property
    def field(self) -> str:
        """The top-level field that contains the value."""
        return self.path.partition(".")[0]


def paths(kind: Any, before: Path = ()) -> Iterator[Path]:
    """Yields the path of each field, descending into our messages but not into well-known ones."""
    for field in kind.fields:
        is_ours = field.message_type is not None and field.message_type.full_name not in _WELL_KNOWN
        if is_ours:
            yield from paths(field.message_type, (*before, field))
        else:
            yield (*before, field)


def cases(bases: dict[str, Any], values: Any) -> Iterator[Case]:
    """Yields a request for each value that `values` returns for a field, based on the rpc's valid request."""
    for method in METHODS.values():
        for path in paths(method.input_type):
            for value in values(path[-1]):
                request = message_of(method, bases)
                put(request, path, value)
                if path[0].name == "cron":
                    request.ClearField("interval")  # cron and interval exclude each other
                yield Case(method.name, ".".join(field.name for field in path), request)


def message_of(method: descriptor.MethodDescriptor, bases: dict[str, Any]) -> Any:
    """Returns a valid request of an rpc."""
    request: Any = message_factory.GetMessageClass(method.input_type)()
    for name, value in bases.items():
        field = method.input_type.fields_by_name.get(name)
        if field is not None and (field.message_type is None or isinstance(value, _class(field))):
            if field.message_type is None:
                setattr(request, name, value)
            else:
                getattr(request, name).CopyFrom(value)
    return request


def _class(field: descriptor.FieldDescriptor) -> Any:
    assert field.message_type is not None
    return message_factory.GetMessageClass(field.message_type)


def put(request: message.Message, path: Path, value: Any) -> None:
    """Sets the field at `path`: of repeated ones, the only one; a list sets as many."""
    *above, last = path
    holder: Any = request
    for field in above:
        member = getattr(holder, field.name)
        holder = member if not field.is_repeated else member[0] if member else member.add()
    if last.is_repeated:
        holder.ClearField(last.name)
        getattr(holder, last.name).extend(value if isinstance(value, list) else [value])
    elif last.message_type is not None:
        getattr(holder, last.name).CopyFrom(value)
        getattr(holder, last.name).SetInParent()
    else:
        setattr(holder, last.name, value)


def texts(field: descriptor.FieldDescriptor, long: str) -> Iterator[Any]:
    """Yields `long` as a value of the field or, in well-known messages, as a value or a key inside."""
    if field.message_type is None:
        if field.type == _FIELD.TYPE_STRING:
            yield long
            if field.is_repeated:
                yield [long, long]
    elif field.message_type.full_name == "google.protobuf.FieldMask":
        yield field_mask_pb2.FieldMask(paths=[long])
    elif field.message_type.full_name == "google.protobuf.Struct":
        for value in ({"a": long}, {long: 1}, {long: "\0"}, {"a": [{long: [long, "\0"]}]}):
            struct = struct_pb2.Struct()
            struct.update(value)
            yield struct


_TEXTS = [
    "",
    " ",
    "\0",
    "\x1b[31m",
    "a\nb",
    "\u2028",
    "🙂" * 300,
    "-1",
    "1e999",
    "NaN",
    "%s{}",
    "../..",
    "'\"\\",
    "٣",
    "0" * 5000,
]
_INTEGERS = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
_DOUBLES = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e22, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan")]
_SECONDS = [0, 1, -1, -62135596800, -62135596801, 253402300799, 253402300800, 315576000000, 315576000001]
_SECONDS += [-315576000001, 2**63 - 1, -(2**63), 86_400_000_000 * 1_000_000]
_NANOS = [0, 1, -1, 999_999_999, 1_000_000_000, -999_999_999, 2**31 - 1, -(2**31)]
_MASKS = [[""], ["*"], ["name", "name"], ["task_id"], ["update_mask"], ["task_data.a"], ["NAME"], ["x"] * 5000]
_STRUCTS: list[dict[str, Any]] = [
    {"": None},
    {"a": float("nan")},
    {"a": float("-inf")},
    {"a": 1e22},
    {"\x1b": ["\x1b"]},
    {"a": "\0"},
]


def odd(field: descriptor.FieldDescriptor) -> Iterator[Any]:
    """Yields unusual values of a field: limits of its type, and values that other programs send."""
    for value in _odd(field):
        yield value
        if field.is_repeated:
            yield [value] * 2
            yield [value] * (1500 if not isinstance(value, str) or len(value) < 100 else 10)
    if field.is_repeated:
        yield []


def _odd(field: descriptor.FieldDescriptor) -> Iterator[Any]:
    if field.message_type is not None:
        yield from _odd_message(field.message_type.full_name)
    elif field.type == _FIELD.TYPE_STRING:
        yield from _TEXTS
    elif field.type == _FIELD.TYPE_UINT32:
        yield from _INTEGERS
    elif field.type == _FIELD.TYPE_DOUBLE:
        yield from _DOUBLES
    elif field.type == _FIELD.TYPE_BOOL:
        yield from (False, True)
    elif field.type == _FIELD.TYPE_ENUM:
        yield from (0, 1, 5, 6, 99, -1, 2**31 - 1, -(2**31))
    else:
        raise AssertionError(f"{field.full_name} has an unknown type")


def _odd_message(kind: str) -> Iterator[message.Message]:
    match kind.rpartition(".")[2]:
        case "Timestamp":
            for seconds, nanos in itertools.product(_SECONDS, _NANOS):
                yield timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
        case "Duration":
            for seconds, nanos in itertools.product(_SECONDS, _NANOS):
                yield duration_pb2.Duration(seconds=seconds, nanos=nanos)
        case "FieldMask":
            for names in _MASKS:
                yield field_mask_pb2.FieldMask(paths=names)
            yield field_mask_pb2.FieldMask()
        case "Struct":
            for value in _STRUCTS:
                struct = struct_pb2.Struct()
                struct.update(value)
                yield struct
            yield struct_pb2.Struct(fields={"a": struct_pb2.Value()})
        case _:
            raise AssertionError(f"{kind} is not known")


def tomorrow() -> timestamp_pb2.Timestamp:
    """Returns a time in the future."""
    moment = timestamp_pb2.Timestamp()
    moment.FromDatetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
    return moment
