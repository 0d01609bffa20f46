"""Runs the command line, and ends its process with an exit code."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from duetime_client.cli import printing, streams

FAILED = 1
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + signal.SIGPIPE
TERMINATED = 128 + signal.SIGTERM


def run(command: Callable[[], object]) -> NoReturn:
    """Runs the command, which may exit by itself, and exits."""
    streams.prepare()
    code: str | int | None = None
    try:
        try:
            command()
        except SystemExit as ended:
            code = ended.code
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except streams.OutputError as failure:
        code = BROKEN_PIPE if failure.is_broken_pipe else FAILED
        if not failure.is_broken_pipe:
            # The command itself succeeded: the id of a created task, for one, must not be lost.
            lost = f"; not written: {failure.lost}" if failure.lost else ""
            printing.error(f"standard output cannot be written: {failure}{lost}")
    finally:
        streams.discard_output()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # from here on Ctrl-C would only print a traceback
    sys.exit(code)
