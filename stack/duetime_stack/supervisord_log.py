"""Starts and exits of the processes, read from supervisord's log.

Only the log states how a process died: supervisord's RPC does not report signals, and misses an exit that is followed
by a restart between two polls.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

_EXITED = re.compile(r" exited: (?P<process>\S+) \((?P<cause>.+); (not )?expected\)$")
_RUNNING = re.compile(r" success: (?P<process>\S+) entered RUNNING state")


@dataclasses.dataclass(frozen=True)
class Event:
    """A process exited, or has run long enough to count as running."""

    process: str
    cause: str | None
    """Why it exited, such as `terminated by SIGKILL` or `exit status 1`; None if it is running."""


class Reader:
    """Reads supervisord's log as it grows."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> Iterator[Event]:
        """Yields the events since the last call."""
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
    exited = _EXITED.search(line)
    if exited is not None:
        return Event(exited["process"], exited["cause"])
    running = _RUNNING.search(line)
    return None if running is None else Event(running["process"], None)
