"""The task_data that `--data` gives: JSON on the command line, in a file or on standard input."""

import codecs
import json
import math
import pathlib
import sys
from typing import Any

import typer

from duetime_client.cli import quoting

_STANDARD_INPUT = "standard input"
# Four times what a request may hold, for the sake of white space. Input that never ends is not read indefinitely.
_MAX_BYTES = 4 * 1024 * 1024
# PowerShell writes files with these; the longer marks first.
_MARKS = [
    *[(codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")],
    *[(codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")],
]


def parse(text: str) -> dict[str, Any]:
    """Returns the object of a JSON text, of the file that `@FILE` names, or of standard input for `-` or `@-`.

    Raises BadParameter for anything else.
    """
    source = ""
    if text in ("-", "@-"):
        source, text = _STANDARD_INPUT, _decoded(_content(_STANDARD_INPUT), _STANDARD_INPUT)
    elif text.startswith("@"):
        path = text[1:]
        source = quoting.one_line(path)
        if not path:
            raise typer.BadParameter("'@' names no file; write @FILE, or - for standard input")
        text = _decoded(_content(source, path), source)
    if not text.strip():
        raise typer.BadParameter(f"{source or 'the text'} is empty; an object without members is {{}}")
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError) as error:
        problem = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise typer.BadParameter(f"{source or quoting.quoted(text)} is not JSON: {problem}") from None
    if not isinstance(value, dict):
        given = source or quoting.quoted(text)
        raise typer.BadParameter(f'{given} is not a JSON object such as {{"email": "a@example.com"}}')
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"there is no number {text}")


def _number(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{quoting.quoted(text)} is larger than a number can be, which is a double")
    return number


def _content(source: str, path: str | None = None) -> bytes:
    """Returns what is in the file or, without a path, on standard input."""
    try:
        if path is None:
            content = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with pathlib.Path(path).open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        problem = error.strerror if isinstance(error, OSError) else "no file can have that name"
        raise typer.BadParameter(f"{source}: {problem}") from None
    if len(content) > _MAX_BYTES:
        raise typer.BadParameter(f"{source} is larger than {_MAX_BYTES // 1024**2} MiB")
    return content


def _decoded(content: bytes, source: str) -> str:
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise typer.BadParameter(f"{source} is not {name} text: {error.reason} at byte {error.start}") from None
