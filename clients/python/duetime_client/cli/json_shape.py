"""Converts the client's dataclasses to the JSON of the REST API: the contract's field names, protobuf's format of times
and durations, unset fields omitted.
"""

import dataclasses
import datetime
import json
import math
import re
from typing import Any

from duetime_client.cli import moments

# JSON's own syntax is printable, so these occur only inside strings.
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


def of(value: Any) -> Any:
    """Returns a dataclass, or a value inside one, as `json.dumps` accepts it."""
    match value:
        case datetime.datetime():
            return moments.in_utc(value)
        case datetime.timedelta():
            return _seconds(value)
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"  # as protobuf prints them
        case dict():
            return {name: of(member) for name, member in value.items()}
        case tuple() | list():
            return [of(member) for member in value]
        case _ if dataclasses.is_dataclass(value):
            members = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {name: of(member) for name, member in members.items() if member is not None}
        case _:
            return value


def text(value: Any, encoding: str = "utf-8") -> str:
    """Returns the value as one line of JSON that is safe to print: control characters, and characters that the encoding
    lacks, are escaped.
    """
    line = json.dumps(of(value), ensure_ascii=False, allow_nan=False)
    return _NOT_PRINTABLE.sub(lambda match: _escaped(match[0], encoding), line)


def _seconds(value: datetime.timedelta) -> str:
    """Returns a duration in protobuf's format, also if it is too long for protobuf."""
    total = value // datetime.timedelta(microseconds=1)
    seconds, microseconds = divmod(abs(total), 1_000_000)
    fraction = f".{microseconds:06}".removesuffix("000") if microseconds else ""
    return f"{'-' if total < 0 else ''}{seconds}{fraction}s"


def _escaped(char: str, encoding: str) -> str:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(char)[1:-1]
    return char if char.isprintable() else json.dumps(char)[1:-1]
