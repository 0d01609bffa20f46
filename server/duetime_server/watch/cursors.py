"""Cursors of watches: positions in the feed, and the last one that a browser received."""

import contextlib
import dataclasses
from typing import TypeVar

from duetime.v1 import task_service_pb2
from duetime_core.model import snapshot
from duetime_server.rpc import errors as rpc_errors
from duetime_server.rpc import tokens, violations

BEFORE_HISTORIES = "is of a release that did not know of failovers and restores. Begin again without it"
"""The violation of a cursor of 0.2.0."""

_Watch = TypeVar("_Watch", task_service_pb2.WatchTaskRequest, task_service_pb2.WatchTasksRequest)


def resumed(request: _Watch, context: rpc_errors.Context) -> _Watch:
    """Returns the request, resumed from the `Last-Event-ID` that a browser sends when it reconnects.

    It is later than the cursor in the URL, which a browser repeats each time.
    """
    for name, value in context.invocation_metadata() or ():
        if name == "last-event-id" and value:
            request.cursor = value if isinstance(value, str) else value.decode()
    return request


@dataclasses.dataclass(frozen=True)
class Cursors:
    """Writes and reads the cursors of watches with one filter, `scope`."""

    scope: object

    def write(self, position: snapshot.Position) -> str:
        """Returns the cursor that resumes after `position`."""
        return tokens.encode(self.scope, str(position))

    def read(self, cursor: str) -> snapshot.Position:
        """Returns the position in a cursor of `write`. Raises InvalidArgument for anything else."""
        match tokens.decode("cursor", cursor, self.scope):
            case str(position):
                with contextlib.suppress(ValueError):
                    return snapshot.Position.parse(position)
            case [str(), str()]:
                raise violations.refuse("cursor", BEFORE_HISTORIES)
        raise violations.refuse("cursor", tokens.UNKNOWN)
