"""Numbers and choices on the command line, each refused in a sentence that names what was given."""

import enum
import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from duetime_client.cli import quoting

_Choice = TypeVar("_Choice", bound=enum.StrEnum)

_MAX_DIGITS = 20


def whole_number(least: int, most: int | None = None) -> Callable[[str | int], int]:
    """Returns a parser of whole numbers in those bounds; it raises BadParameter for anything else."""
    bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"

    def parse(text: str | int) -> int:
        given = str(text).strip()
        number = int(given) if re.fullmatch(rf"-?\d{{1,{_MAX_DIGITS}}}", given, re.ASCII) else None
        if number is None or number < least or (most is not None and number > most):
            raise typer.BadParameter(f"{quoting.quoted(str(text))} is not a whole number {bounds}")
        return number

    return parse


def choice(kind: type[_Choice]) -> Callable[[str], _Choice]:
    """Returns a parser of the values of that kind; it raises BadParameter for anything else."""

    def parse(text: str) -> _Choice:
        try:
            return kind(text)
        except ValueError:
            raise typer.BadParameter(f"{quoting.quoted(text)} is none of {', '.join(kind)}") from None

    return parse


def identity(metavar: str, help_text: str | None = None) -> Any:
    """Returns the argument that is the id of a task or of a schedule; the client knows its bounds."""
    return typer.Argument(metavar=metavar, parser=whole_number(0), help=help_text, show_default=False)


def count(help_text: str) -> Any:
    """Returns the option that is how many at most."""
    return typer.Option(metavar="N", parser=whole_number(1), help=help_text)


def version(help_text: str) -> Any:
    """Returns the option that is a version which must still be current."""
    return typer.Option("--version", metavar="N", parser=whole_number(0), help=help_text, show_default=False)
