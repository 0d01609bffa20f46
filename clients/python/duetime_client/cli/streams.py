"""The process's own streams: what cannot be written is said in one line, and is never a traceback."""

import errno
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from duetime_client.cli import quoting


class OutputError(Exception):
    """Standard output cannot be written. No OSError, which typer would take for its own."""

    def __init__(self, cause: OSError) -> None:
        super().__init__("it is closed" if cause.errno == errno.EBADF else cause.strerror)
        self.is_broken_pipe = isinstance(cause, BrokenPipeError)
        self.lost = ""
        """The line that could not be written, if there is one."""


class _Stdout(io.FileIO):
    """Raises OutputError, and waits for a pipe that another process made non-blocking."""

    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError as error:
            raise OutputError(error) from None
        return written


class _Stderr(io.FileIO):
    """Loses what cannot be written: there is no other place to say so."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


class _Safe(io.TextIOWrapper):
    """Spells out what a terminal would obey: typer repeats the words of the command line in its messages."""

    def write(self, text: str) -> int:
        return super().write("\t".join(map(quoting.printable, text.split("\t"))))


def prepare() -> None:
    """Replaces the streams of this process. Characters that their encoding does not have are written as escapes."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It was closed. If it stayed so, the next socket would get its number, and what is printed.
            os.open(os.devnull, os.O_RDONLY)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    # Buffered even with PYTHONUNBUFFERED: Python writes a long line to a pipe only in part without it.
    stdout, stderr = (
        io.BufferedWriter(raw) for raw in (_Stdout(1, "w", closefd=False), _Stderr(2, "w", closefd=False))
    )
    sys.stdout = io.TextIOWrapper(stdout, **_text_options(sys.stdout))
    sys.stderr = _Safe(stderr, **_text_options(sys.stderr))


def call_when_unread(act: Callable[[], object]) -> None:
    """Calls `act`, in a thread, once the pipe or terminal that is standard output is left by whatever read it."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # it is in memory
        return

    def wait() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # no event but that; a file has none
        poll.poll()
        act()

    threading.Thread(target=wait, daemon=True).start()


def discard_output() -> None:
    """Sends to nowhere what standard output still holds, so that Python does not try once more when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _text_options(replaced: Any) -> dict[str, Any]:
    encoding = replaced.encoding if replaced else "utf-8"
    return {"encoding": encoding, "errors": "backslashreplace", "line_buffering": True}
