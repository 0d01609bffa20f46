"""Our dataclasses as JSON, in the shape that REST answers with: the contract's field names, protobuf's texts for
times and durations, what is unset left out.
"""

import dataclasses
import datetime
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2


def of(value: Any) -> Any:
    """Returns a dataclass of ours, or what one holds, as values that `json.dumps` takes."""
    match value:
        case datetime.datetime():
            timestamp = timestamp_pb2.Timestamp()
            timestamp.FromDatetime(value)
            return timestamp.ToJsonString()
        case datetime.timedelta():
            duration = duration_pb2.Duration()
            duration.FromTimedelta(value)
            return duration.ToJsonString()
        case _ if dataclasses.is_dataclass(value):
            members = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {name: of(member) for name, member in members.items() if member is not None}
        case tuple() | list():
            return [of(member) for member in value]
        case _:
            return value
