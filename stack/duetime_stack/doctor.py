"""`duetime doctor`, which the command line loads by its entry point: it checks PostgreSQL and Redis."""

import asyncio
from typing import Annotated

import typer

from duetime_core.process import settings
from duetime_stack import checks, errors, external, finding

_DATABASE_URL = settings.Settings.model_fields["database_url"].default
_REDIS_URL = settings.Settings.model_fields["redis_url"].default


def command(
    context: typer.Context,
    database_url: Annotated[
        str, typer.Option(envvar="DUETIME_DATABASE_URL", help="The URL of PostgreSQL, or @FILE that contains it.")
    ] = _DATABASE_URL,
    redis_url: Annotated[
        str, typer.Option(envvar="DUETIME_REDIS_URL", help="The URL of Redis, or @FILE that contains it.")
    ] = _REDIS_URL,
) -> None:
    """Check the PostgreSQL and the Redis of servers and workers, and print what to do.

    The exit status is 1 if there is an error.
    """
    given = {"database_url": database_url, "redis_url": redis_url}
    try:
        checked = {name: external.url(name, url, is_visible=_is_visible(context, name)) for name, url in given.items()}
    except errors.StackError as error:
        typer.echo(f"duetime doctor: {error}", err=True)
        raise typer.Exit(1) from error
    if finding.Level.ERROR in asyncio.run(_print(checked["database_url"], checked["redis_url"])):
        raise typer.Exit(1)


def _is_visible(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


async def _print(database_url: str, redis_url: str) -> set[finding.Level]:
    levels = set()
    async for found in checks.of_postgres(database_url):
        levels.add(_print_one(found))
    levels.add(_print_one(await asyncio.to_thread(checks.of_redis, redis_url)))
    return levels


def _print_one(found: finding.Finding) -> finding.Level:
    typer.echo(f"{found.level:<8} {found.text}")
    return found.level
