"""The last lines of a log, fit for a terminal."""

import pathlib

_LINES = 20


def read(path: pathlib.Path) -> str:
    """Returns the last lines of a log, and its name, fit for a terminal."""
    try:
        # Only \n ends a line here: what a caller named may hold any other character that does elsewhere.
        lines = path.read_bytes().decode(errors="replace").rstrip("\n").split("\n")[-_LINES:]
    except FileNotFoundError:
        lines = []
    if not any(lines):
        return f"{path} is empty"
    return "\n".join([f"the end of {path}:", *(f"  {_printable(line)}" for line in lines)])


def _printable(text: str) -> str:
    # A terminal obeys control characters, and handlers log what callers named.
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
