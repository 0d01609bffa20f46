"""Reads and checks single fields of requests, of which some are protobuf's well-known types."""

import datetime
import enum
import re
from typing import Any, TypeVar

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2

from duetime_core.model import payload, quoting
from duetime_core.postgres import schema
from duetime_server.rpc import structs, violations

MAX_NAME_CHARACTERS = 255
MAX_QUEUE_CHARACTERS = 100
MAX_REQUEST_ID_CHARACTERS = 128
MAX_KEY_CHARACTERS = 255
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 50

_QUEUE = re.compile(rf"[a-z0-9._-]{{1,{MAX_QUEUE_CHARACTERS}}}")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_ZERO = datetime.timedelta(0)

_Choice = TypeVar("_Choice", bound=enum.StrEnum)


def task_id(value: int) -> int:
    """Returns `value`. Raises InvalidArgument if no task can have it."""
    if not 1 <= value <= schema.MAX_TASK_ID:
        raise violations.refuse("task_id", f"must be from 1 to {schema.MAX_TASK_ID}, not {value}")
    return value


def page_size(value: int) -> int:
    """Reads a page_size; 0 means the default. Raises InvalidArgument."""
    if value > MAX_PAGE_SIZE:
        raise violations.refuse("page_size", f"must be at most {MAX_PAGE_SIZE}, not {value}")
    return value or DEFAULT_PAGE_SIZE


def name(
    value: str, problems: violations.Violations, *, what: str = "the name of the handler that runs the task"
) -> str:
    """Checks a name; `what` describes it."""
    if not value.strip():
        problems.add("name", f"is required: {what}")
    else:
        check_text(value, "name", MAX_NAME_CHARACTERS, problems)
    return value


def filter_text(
    request: Any, field: str, problems: violations.Violations, *, most: int = MAX_NAME_CHARACTERS
) -> str | None:
    """Reads a text of a filter; stored ones may be older than the refusal of control characters.

    An empty one is refused: it is a variable that was not set, and would select all tasks.
    """
    if not request.HasField(field):
        return None
    value: str = getattr(request, field)
    if not value:
        problems.add(field, "must not be empty; leave it out to select any")
    elif len(value) > most:
        problems.add(field, f"must be at most {most} characters; it has {len(value)}")
    elif "\0" in value:
        problems.add(field, "must not contain the NUL character")
    return value


def filter_queue(request: Any, problems: violations.Violations) -> str | None:
    """Reads the queue of a filter."""
    return queue(request.queue, problems) if request.HasField("queue") else None


def queue(value: str, problems: violations.Violations, *, field: str = "queue") -> str:
    """Checks a queue's name."""
    if not _QUEUE.fullmatch(value):
        right = f"must be 1 to {MAX_QUEUE_CHARACTERS} characters of a-z, 0-9, '.', '_' and '-'"
        problems.add(field, f"{right}, not {quoting.shortened(value)!r}" if value else right)
    return value


def request_id(value: str, problems: violations.Violations) -> str | None:
    """Checks a request_id; an empty one means none."""
    check_text(value, "request_id", MAX_REQUEST_ID_CHARACTERS, problems)
    return value or None


def concurrency_key(value: str, problems: violations.Violations) -> str | None:
    """Checks a concurrency_key; an empty one means none."""
    check_text(value, "concurrency_key", MAX_KEY_CHARACTERS, problems)
    return value or None


def check_text(value: str, field: str, most: int, problems: violations.Violations) -> None:
    """Checks the length of a text, and that it has no control characters."""
    if len(value) > most:
        problems.add(field, f"must be at most {most} characters; it has {len(value)}")
    elif not value.isprintable() and (found := quoting.CONTROL.search(value)):
        problems.add(field, f"must not contain control characters; it has U+{ord(found[0]):04X}")


def choice(message: Any, field: str, default: _Choice, problems: violations.Violations) -> _Choice:
    """Reads an enum whose names are the values of `default`'s type; unspecified means `default`."""
    number: int = getattr(message, field)
    if not number:
        return default
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    if value is None:
        problems.add(field, f"must be one of {', '.join(type(default))}, not {number}")
        return default
    return type(default)(value.name)


def moment(value: timestamp_pb2.Timestamp, field: str, problems: violations.Violations) -> datetime.datetime:
    """Reads a timestamp, rounded up to the microsecond, so that it is never early."""
    try:
        if not 0 <= value.nanos < 1_000_000_000:
            raise OverflowError
        return _EPOCH + datetime.timedelta(seconds=value.seconds, microseconds=-(-value.nanos // 1000))
    except OverflowError:
        given = f"{value.seconds} s and {value.nanos} ns after 1970"
        problems.add(field, f"must be a time between the years 1 and 9999, not {given}")
        return _EPOCH


def period(
    value: duration_pb2.Duration,
    field: str,
    problems: violations.Violations,
    *,
    longest: datetime.timedelta,
    shortest: datetime.timedelta = _ZERO,
) -> datetime.timedelta:
    """Reads a duration between two bounds, rounded up to the microsecond."""
    seconds, nanos = value.seconds, value.nanos
    if abs(nanos) >= 1_000_000_000 or seconds * nanos < 0:
        problems.add(
            field,
            f"must have nanos of less than a second, with the sign of its seconds, not {seconds} s and {nanos} ns",
        )
        return shortest
    try:
        read = datetime.timedelta(seconds=seconds, microseconds=-(-nanos // 1000))
    except OverflowError:
        read = None
    if read is None or not shortest <= read <= longest:
        given = f"{seconds} s" if read is None else _exactly(read)
        problems.add(field, f"must be from {_seconds(shortest)} to {_seconds(longest)}, not {given}")
        return shortest
    return read


def json_object(value: struct_pb2.Struct, field: str, problems: violations.Violations) -> dict[str, Any]:
    """Reads a JSON object; see `structs.read`."""
    try:
        return structs.read(value)
    except payload.PayloadError as error:
        problems.add(f"{field}{error.path}", error.problem)
        return {}


def _exactly(value: datetime.timedelta) -> str:
    return f"{value.total_seconds():f}".rstrip("0").rstrip(".") + " s"


def _seconds(value: datetime.timedelta) -> str:
    return f"{value.total_seconds():g} s" if value < datetime.timedelta(days=1) else f"{value.days} days"
