"""What happened to the parts, from the log that supervisord keeps.

It is the one place that says how a process died: supervisord's RPC has no signals, and forgets a death that it
has made good between two questions.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

_DIED = re.compile(r" exited: (?P<part>\S+) \((?P<cause>.+); (not )?expected\)$")
_RUNS = re.compile(r" success: (?P<part>\S+) entered RUNNING state")


@dataclasses.dataclass(frozen=True)
class Event:
    """A part died, or has run long enough to count as running."""

    part: str
    cause: str | None
    """How it died, such as `terminated by SIGKILL` or `exit status 1`; None if it runs."""


class Reader:
    """Reads supervisord's log as it grows."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> Iterator[Event]:
        """Yields what happened since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            lines = file.readlines()
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self._position += len(line)
            event = _parse(line.decode(errors="replace").rstrip())
            if event is not None:
                yield event


def _parse(line: str) -> Event | None:
    died = _DIED.search(line)
    if died is not None:
        return Event(died["part"], died["cause"])
    runs = _RUNS.search(line)
    return None if runs is None else Event(runs["part"], None)
