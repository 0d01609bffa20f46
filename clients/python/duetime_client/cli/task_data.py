"""The task_data of `--data`: JSON on the command line, in a file or on standard input."""

import codecs
import json
import math
import pathlib
import sys
from typing import Any

import typer

from duetime_client.cli import quoting

_STANDARD_INPUT = "standard input"
# Four times the largest request, to allow for white space. Endless input must not be read indefinitely.
_MAX_BYTES = 4 * 1024 * 1024
# Byte order marks, which PowerShell writes; the longer ones first.
_MARKS = [
    *[(codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")],
    *[(codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")],
]


def parse(text: str) -> dict[str, Any]:
    """Returns the JSON object in the text, in the file of `@FILE`, or in standard input for `-` or `@-`.

    Raises BadParameter for anything else.
    """
    source = ""
    if text in ("-", "@-"):
        source, text = _STANDARD_INPUT, _decoded(_content(_STANDARD_INPUT), _STANDARD_INPUT)
    elif text.startswith("@"):
        path = text[1:]
        source = quoting.one_line(path)
        if not path:
            raise typer.BadParameter("'@' has no file name; write @FILE, or - for standard input")
        text = _decoded(_content(source, path), source)
    if not text.strip():
        raise typer.BadParameter(f"{source or 'the text'} is empty; an empty object is {{}}")
    try:
        value = json.loads(text.removeprefix("\ufeff"), parse_constant=_no_number, parse_float=_number)
    except (ValueError, RecursionError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise typer.BadParameter(f"{source or quoting.quoted(text)} is not JSON: {problem}") from None
    if not isinstance(value, dict):
        given = source or quoting.quoted(text)
        raise typer.BadParameter(f'{given} is not a JSON object such as {{"email": "a@example.com"}}')
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _number(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{quoting.quoted(text)} is too large for a double")
    return number


def _content(source: str, path: str | None = None) -> bytes:
    """Returns the content of the file or, without a path, of standard input."""
    try:
        if path is None:
            content = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with pathlib.Path(path).open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        problem = error.strerror if isinstance(error, OSError) else "not a valid file name"
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
