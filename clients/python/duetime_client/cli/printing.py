"""Prints the output of the commands: JSON, one document per line; tables; and lines for people."""

import io
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import rich.console
import rich.table

from duetime_client.cli import json_shape, quoting, streams

_Listed = TypeVar("_Listed")

# Far wider than any row: in a file or a pipe a table has one row per line, whatever the terminal's width.
_PIPE_WIDTH = 2**31


def is_terminal() -> bool:
    """Whether standard output is a terminal that can redraw its text."""
    return sys.stdout.isatty() and not rich.console.Console().is_dumb_terminal


def json(value: Any) -> None:
    """Prints a dataclass of the client, or a dict, as one line of JSON."""
    _write(json_shape.text(value, sys.stdout.encoding))


def line(text: str) -> None:
    """Prints a text as one line."""
    _write(quoting.one_line(text))


def message(text: str, as_json: bool) -> None:
    """Prints a result that is only a message, as a line or as the REST API returns it."""
    if as_json:
        json({"message": text})
    else:
        line(text)


def counted(count: int, noun: str) -> str:
    """Returns the number with its noun, such as `1 task` or `2 tasks`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def table(renderable: Any) -> None:
    """Prints a table: as wide as the terminal, elsewhere as wide as its text, without styles."""
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
    """Prints a question on standard error, without a newline."""
    sys.stderr.write(quoting.one_line(text))
    sys.stderr.flush()


def error(text: str) -> None:
    """Prints an error on standard error, in the form of typer's own."""
    note(f"Error: {text}")


def listing(
    found: Iterator[_Listed], limit: int, to_table: Callable[[Iterable[_Listed]], rich.table.Table], *, as_json: bool
) -> None:
    """Prints the first of what was found, as a table or as one JSON object per line, and notes if there are more."""
    listed = itertools.islice(found, limit)
    if as_json:
        for each in listed:
            json(each)
    else:
        table(to_table(listed))
    if next(found, None) is not None:
        note(f"Only the first {limit} are listed; see --limit.")


def failure(status: Any) -> None:
    """Prints an error on standard error, as JSON."""
    sys.stderr.write(f"{json_shape.text(status, sys.stderr.encoding)}\n")


def _write(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except streams.OutputError as error:
        error.lost = text
        raise
