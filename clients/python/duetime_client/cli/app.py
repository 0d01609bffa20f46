"""Assembles the command line from its commands."""

import importlib.metadata
from collections.abc import Callable
from typing import Annotated, Any

import typer
import typer.core

from duetime_client import cli
from duetime_client.cli import (
    audit,
    bulk,
    changing,
    creating,
    keys,
    plugins,
    printing,
    queues,
    reading,
    schedules,
    watching,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "create": creating.create,
    "get": reading.get,
    "list": reading.list_,
    "explain": reading.explain,
    "update": changing.update,
    "delete": changing.delete,
    "cancel": changing.cancel,
    "retry": changing.retry,
    "logs": reading.logs,
    "watch": watching.watch,
    "workers": reading.workers,
    "audit": audit.audit,
}


GROUPS: dict[str, typer.Typer] = {
    "schedule": schedules.app,
    "queue": queues.app,
    "bulk": bulk.app,
    "key": keys.app,
}


class CommandGroup(typer.core.TyperGroup):
    """Our own commands, and those of other distributions, which are imported only when they are used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns all names, our own first."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in plugins.names() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns the command of that name, or None."""
        return super().get_command(ctx, cmd_name) or plugins.command(cmd_name)


def build() -> typer.Typer:
    """Returns the whole command line."""
    app = typer.Typer(
        cls=CommandGroup,
        help="Create, read and manage tasks, schedules and queues.",
        # \b keeps the lines of a paragraph as they are.
        epilog="\b\n" + (cli.__doc__ or "").partition("\n\n")[2].replace("\n\n", "\n\n\b\n"),
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name, command in COMMANDS.items():
        app.command(name)(command)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    return app


def _print_version(is_given: bool) -> None:
    if is_given:
        printing.line(f"duetime {importlib.metadata.version('duetime-client')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
