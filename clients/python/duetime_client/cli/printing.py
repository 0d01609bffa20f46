"""What the commands print: JSON, one document a line; tables; and a line for people."""

import io
import sys
from typing import Any

import rich.console

from duetime_client.cli import json_shape, quoting, streams

# Far wider than any row: a table that goes to a file or a pipe has a row a line, whatever the terminal's width.
_PIPE_WIDTH = 2**31


def is_terminal() -> bool:
    """Whether standard output is a terminal that can change what stands there."""
    return sys.stdout.isatty() and not rich.console.Console().is_dumb_terminal


def json(value: Any) -> None:
    """Prints a dataclass of ours, or a dict, as one line of JSON."""
    _write(json_shape.text(value, sys.stdout.encoding))


def line(text: str) -> None:
    """Prints a text as one line."""
    _write(quoting.one_line(text))


def table(renderable: Any) -> None:
    """Prints what rich renders: as wide as the terminal, elsewhere as wide as it is, without decoration."""
    if sys.stdout.isatty():
        rich.console.Console(highlight=False).print(renderable)
        return
    rendered = io.StringIO()
    rich.console.Console(file=rendered, width=_PIPE_WIDTH, color_system=None, force_terminal=False).print(renderable)
    for each in rendered.getvalue().splitlines():
        sys.stdout.write(f"{each.rstrip()}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Prints a line for people on standard error."""
    sys.stderr.write(f"{quoting.one_line(text)}\n")


def ask(text: str) -> None:
    """Prints a question on standard error, and stays on its line."""
    sys.stderr.write(quoting.one_line(text))
    sys.stderr.flush()


def error(text: str) -> None:
    """Prints on standard error what went wrong."""
    note(f"error: {text}")


def failure(status: Any) -> None:
    """Prints on standard error, as JSON, what went wrong."""
    sys.stderr.write(f"{json_shape.text(status, sys.stderr.encoding)}\n")


def _write(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except streams.OutputError as error:
        error.lost = text
        raise
