"""Commands of other distributions, such as `up` of duetime-stack: functions with typer's annotations."""

import importlib.metadata
from typing import Any

import typer

import duetime_client
from duetime_client.cli import printing

ENTRY_POINTS = "duetime.commands"
_CREATE_KEY = "duetime.create_key"


def names() -> list[str]:
    """Returns the names of the installed commands, without importing them."""
    return sorted(_entry_points())


def command(name: str) -> Any:
    """Returns the command of that name as typer's object, or None.

    One that cannot be imported fails with an error when it is called, and does not affect the others.
    """
    entry_point = _entry_points().get(name)
    if entry_point is None:
        return None
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    try:
        app.command(name)(entry_point.load())
        return typer.main.get_command(app)
    except Exception as error:  # importing a module of another distribution may raise anything
        return _broken(name, f"cannot be loaded from {entry_point.value}: {type(error).__name__}: {error}")


def created_key(database_url: str, **options: Any) -> duetime_client.CreatedKey:
    """Returns an API key created in the database itself, as duetime-stack does it; exits if that is not installed."""
    points = list(importlib.metadata.entry_points(group=_CREATE_KEY))
    if not points:
        printing.error("--database-url requires: pip install duetime-stack")
        raise typer.Exit(1)
    fields, api_key = points[0].load()(database_url, **options)
    return duetime_client.CreatedKey(duetime_client.ApiKey(**fields), api_key)


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


def _broken(name: str, problem: str) -> Any:
    def fail() -> None:
        printing.error(f"{name} {problem}")
        raise typer.Exit(1)

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    # It accepts any options, so that the error is the problem, not an unknown option.
    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    app.command(name, help=problem, context_settings=anything)(fail)
    return typer.main.get_command(app)
