"""Numbers and choices on the command line; an error names what was given and what would be right."""

import enum
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import typer

from duetime_client.cli import quoting

_Choice = TypeVar("_Choice", bound=enum.StrEnum)

_MAX_DIGITS = 20


class UsageError(typer.BadParameter):
    """A command line that is invalid as a whole, not a single value in it."""

    def format_message(self) -> str:
        """Returns the message as it is, without "Invalid value"."""
        return self.message


def whole_number(least: int, most: int | None = None) -> Callable[[str | int], int]:
    """Returns a parser of whole numbers within the bounds; it raises BadParameter for anything else."""
    bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"

    def parse(text: str | int) -> int:
        given = str(text).strip()
        number = int(given) if re.fullmatch(rf"-?\d{{1,{_MAX_DIGITS}}}", given, re.ASCII) else None
        if number is None or number < least or (most is not None and number > most):
            raise typer.BadParameter(f"must be a whole number {bounds}, not {quoting.quoted(str(text))}")
        return number

    return parse


def choice(kind: type[_Choice]) -> Callable[[str], _Choice]:
    """Returns a parser of the enum's values; it raises BadParameter for anything else."""

    def parse(text: str) -> _Choice:
        try:
            return kind(text)
        except ValueError:
            raise typer.BadParameter(f"must be one of {', '.join(kind)}, not {quoting.quoted(text)}") from None

    return parse


def identity(metavar: str, help_text: str | None = None) -> Any:
    """Returns the argument for the id of a task or schedule; the client checks its bounds."""
    return typer.Argument(metavar=metavar, parser=whole_number(0), help=help_text, show_default=False)


def count(help_text: str) -> Any:
    """Returns the option for a maximum number."""
    return typer.Option(metavar="N", parser=whole_number(1), help=help_text)


def version() -> Any:
    """Returns the option for the version that an update expects."""
    help_text = "Change it only if this is its current version."
    return typer.Option("--version", metavar="N", parser=whole_number(0), help=help_text, show_default=False)


def require_changes(changes: Mapping[str, object]) -> None:
    """Raises UsageError if there are none."""
    if not changes:
        raise UsageError("nothing to change: give at least one option")
