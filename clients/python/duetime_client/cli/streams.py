"""The process's standard streams: an output that cannot be written is one line of error, never a traceback."""

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
    """Standard output cannot be written. Not an OSError, which typer would handle itself."""

    def __init__(self, cause: OSError) -> None:
        super().__init__("it is closed" if cause.errno == errno.EBADF else cause.strerror)
        self.is_broken_pipe = isinstance(cause, BrokenPipeError)
        self.lost = ""
        """The line that could not be written, if there is one."""


class _Stdout(io.FileIO):
    """Raises OutputError, and waits for a full pipe that another process made non-blocking."""

    def write(self, data: Any) -> int:
        try:
            while (written := super().write(data)) is None:
                select.select([], [self], [])
        except OSError as error:
            raise OutputError(error) from None
        return written


class _Stderr(io.FileIO):
    """Drops what cannot be written: there is no other place to report it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


class _Escaping(io.TextIOWrapper):
    """Escapes control characters, because typer's messages repeat the command line."""

    def write(self, text: str) -> int:
        return super().write("\t".join(map(quoting.printable, text.split("\t"))))


def prepare() -> None:
    """Replaces the streams of this process. Characters that their encoding lacks are escaped."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It was closed. If it stayed closed, the next socket would get its number, and with it the output.
            os.open(os.devnull, os.O_RDONLY)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    # Buffered even with PYTHONUNBUFFERED: without a buffer Python writes only part of a long line to a pipe.
    stdout, stderr = (
        io.BufferedWriter(raw) for raw in (_Stdout(1, "w", closefd=False), _Stderr(2, "w", closefd=False))
    )
    sys.stdout = io.TextIOWrapper(stdout, **_text_options(sys.stdout))
    sys.stderr = _Escaping(stderr, **_text_options(sys.stderr))


def call_when_unread(act: Callable[[], object]) -> None:
    """Calls `act`, in a thread, once the reader of the pipe or terminal that is standard output closes it."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # it is in memory
        return

    def wait() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # only errors and hang-ups, which a file never has
        poll.poll()
        act()

    threading.Thread(target=wait, daemon=True).start()


def discard_output() -> None:
    """Discards what standard output still buffers, so that Python does not try to write it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _text_options(replaced: Any) -> dict[str, Any]:
    encoding = replaced.encoding if replaced else "utf-8"
    return {"encoding": encoding, "errors": "backslashreplace", "line_buffering": True}
