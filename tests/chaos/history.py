"""What the clients asked, and what they were told: the calls that the checker holds the system to."""

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
    """What a caller knows about a call."""

    OK = "ok"
    """It was answered."""
    FAILED = "failed"
    """It was refused: nothing happened."""
    UNKNOWN = "unknown"
    """There was no answer: it may have happened, may happen yet, or never."""


class Kind(enum.StrEnum):
    """What was asked."""

    CREATE = "create"
    UPDATE = "update"
    CANCEL = "cancel"
    DELETE = "delete"
    RETRY = "retry"


@dataclasses.dataclass
class Call:
    """One call; times by the observations' clock."""

    number: int
    kind: Kind
    task_id: int | None
    """The task that it is about; of a create, the one that it was told."""
    invoked: float
    returned: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    error: str = ""
    origin: str = ""
    """Of a create: what names the task that it asks for, in its task_data."""
    request_id: str = ""
    batch: str = ""
    """Of a create: what it shares with those that it came with, all or none."""
    token: int | None = None
    """Of a create or update: the token that it wrote into task_data."""
    due_at: float | None = None
    """Of a create or update: the execution_time that it asked for, in seconds since 1970."""


Answer = TypeVar("Answer")


class History:
    """All calls, in the order in which they were invoked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._numbers = itertools.count()

    def begin(self, kind: Kind, task_id: int | None = None, **details: Any) -> Call:
        """Notes that a call is about to be made."""
        call = Call(next(self._numbers), kind, task_id, clock.now(), **details)
        self.calls.append(call)
        return call

    def write(self, path: pathlib.Path) -> None:
        """Writes the calls as JSON lines, for whoever looks into a failure."""
        path.write_text("".join(json.dumps(dataclasses.asdict(call)) + "\n" for call in self.calls))


async def settle(calls: list[Call], answer: Awaitable[Answer]) -> Answer | None:
    """Waits for the answer to a call (or to calls that travel together), and notes what became of it."""
    try:
        answered = await answer
    except (errors.Unavailable, errors.DeadlineExceeded) as error:
        _note(calls, Outcome.UNKNOWN, f"{error.reason}: {error}")
    except duetime_client.DuetimeError as error:
        # INTERNAL is a bug of the server's; whether something happened is not known either.
        known = error.reason not in ("INTERNAL", "UNKNOWN", "CANCELLED")
        _note(calls, Outcome.FAILED if known else Outcome.UNKNOWN, f"{error.reason}: {error}")
    else:
        _note(calls, Outcome.OK, "")
        return answered
    return None


def _note(calls: list[Call], outcome: Outcome, error: str) -> None:
    for call in calls:
        call.returned, call.outcome, call.error = clock.now(), outcome, error
