"""Commands that other distributions add, such as `up` of duetime-stack: functions with typer's annotations."""

import importlib.metadata
from typing import Any

import typer

from duetime_client.cli import printing

ENTRY_POINTS = "duetime.commands"


def names() -> list[str]:
    """Returns the names of what is installed, without importing it."""
    return sorted(_entry_points())


def command(name: str) -> Any:
    """Returns the command of that name as typer's object, None if nobody has it.

    One that cannot be imported says so when it is called, and leaves all others alone.
    """
    entry_point = _entry_points().get(name)
    if entry_point is None:
        return None
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    try:
        app.command(name)(entry_point.load())
        return typer.main.get_command(app)
    except Exception as error:  # whatever somebody else's module raises when it is imported
        return _broken(name, f"cannot be loaded from {entry_point.value}: {type(error).__name__}: {error}")


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def _broken(name: str, problem: str) -> Any:
    def complain() -> None:
        printing.error(f"{name} {problem}")
        raise typer.Exit(1)

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    # Any options are accepted, so that the answer is the problem and not that an option is unknown.
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    app.command(name, help=problem, context_settings=anything)(complain)
    return typer.main.get_command(app)
