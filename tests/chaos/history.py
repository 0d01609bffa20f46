"""The calls of the clients and their results, to which the checker holds the system."""

import dataclasses
import enum
import itertools
import json
import pathlib
from collections.abc import Awaitable
from typing import Any, TypeVar

import duetime_client
from duetime_client import errors
from tests.chaos import clock


class Outcome(enum.StrEnum):
    """What its caller knows about a call."""

    OK = "ok"
    """It was answered."""
    FAILED = "failed"
    """It was refused: it had no effect."""
    UNKNOWN = "unknown"
    """There was no response: it may have taken effect, may yet do so, or never."""


class Kind(enum.StrEnum):
    """The kind of a call."""

    CREATE = "create"
    UPDATE = "update"
    CANCEL = "cancel"
    DELETE = "delete"
    RETRY = "retry"


@dataclasses.dataclass
class Call:
    """One call, with times by the observations' clock."""

    number: int
    kind: Kind
    task_id: int | None
    """The task of the call; for a create, the one in the response."""
    invoked: float
    returned: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    error: str = ""
    origin: str = ""
    """For a create: the id of the task in its task_data."""
    request_id: str = ""
    batch: str = ""
    """For a create: the id of the batch, which is created completely or not at all."""
    token: int | None = None
    """For a create or update: the token that it wrote into task_data."""
    due_at: float | None = None
    """For a create or update: the requested execution_time, in seconds since 1970."""
    queue: str = ""
    """For a create or update: the queue that it wrote."""
    name: str = ""
    """For an update: the name that it wrote."""


Answer = TypeVar("Answer")


class History:
    """All calls, in the order in which they were invoked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._numbers = itertools.count()

    def begin(self, kind: Kind, task_id: int | None = None, **details: Any) -> Call:
        """Records that a call is about to be made."""
        call = Call(next(self._numbers), kind, task_id, clock.now(), **details)
        self.calls.append(call)
        return call

    @property
    def created(self) -> int:
        """How many tasks were created, as far as their callers know."""
        return sum(call.kind is Kind.CREATE and call.outcome is Outcome.OK for call in self.calls)

    def write(self, path: pathlib.Path) -> None:
        """Writes the calls as JSON lines, to investigate a failure."""
        path.write_text("".join(json.dumps(dataclasses.asdict(call)) + "\n" for call in self.calls))


async def settle(calls: list[Call], answer: Awaitable[Answer]) -> Answer | None:
    """Waits for the response to a call (or to a batch of calls), and records the outcome."""
    try:
        answered = await answer
    except (errors.Unavailable, errors.DeadlineExceeded) as error:
        _record(calls, Outcome.UNKNOWN, f"{error.reason}: {error}")
    except duetime_client.DuetimeError as error:
        # INTERNAL is a bug of the server; the outcome is unknown as well.
        known = error.reason not in ("INTERNAL", "UNKNOWN", "CANCELLED")
        _record(calls, Outcome.FAILED if known else Outcome.UNKNOWN, f"{error.reason}: {error}")
    else:
        _record(calls, Outcome.OK, "")
        return answered
    return None


def _record(calls: list[Call], outcome: Outcome, error: str) -> None:
    for call in calls:
        call.returned, call.outcome, call.error = clock.now(), outcome, error
