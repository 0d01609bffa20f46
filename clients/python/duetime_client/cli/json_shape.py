"""Our dataclasses as JSON, in the shape that REST answers with: the contract's field names, protobuf's texts for
times and durations, what is unset left out.
"""

import dataclasses
import datetime
import json
import math
import re
from typing import Any

from duetime_client.cli import moments

# Quotes, brackets and all that JSON itself is made of are printable, so these stand in strings alone.
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


def of(value: Any) -> Any:
    """Returns a dataclass of ours, or what one holds, as values that `json.dumps` takes."""
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
    """Returns the value as a line of JSON that a terminal prints as it is: what that obeys, and what the encoding does
    not have, is escaped.
    """
    line = json.dumps(of(value), ensure_ascii=False, allow_nan=False)
    return _NOT_PRINTABLE.sub(lambda match: _escaped(match[0], encoding), line)


def _seconds(value: datetime.timedelta) -> str:
    """Returns a duration as protobuf prints it, also one that is too long for protobuf."""
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
