"""The last lines of a log, safe to print on a terminal."""

import pathlib

_LINES = 20


def read(path: pathlib.Path) -> str:
    """Returns the name of a log and its last lines, safe to print."""
    try:
        # Only \n ends a line: names from callers may contain other characters that splitlines() splits at.
        lines = path.read_bytes().decode(errors="replace").rstrip("\n").split("\n")[-_LINES:]
    except FileNotFoundError:
        lines = []
    if not any(lines):
        return f"{path} is empty"
    return "\n".join([f"last lines of {path}:", *(f"  {_printable(line)}" for line in lines)])


def _printable(text: str) -> str:
    # Handlers log text from callers, which may contain control characters.
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
