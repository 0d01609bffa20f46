"""`duetime up`, which the command line finds by its entry point."""

import os
import pathlib
import signal
import types
from typing import Annotated, NoReturn

import typer

from duetime_stack import errors, stack

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def command(
    host: Annotated[str, typer.Option(envvar="DUETIME_HOST", help="The address that Envoy listens on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="DUETIME_PORT", min=1, max=65535, help="Envoy's port, for REST and gRPC.")
    ] = 8080,
    hosts: Annotated[
        str,
        typer.Option(
            envvar="DUETIME_HOSTS", help="Names it is also called by, such as duetime.example.com, with commas."
        ),
    ] = "",
    origins: Annotated[
        str,
        typer.Option(
            envvar="DUETIME_ORIGINS", help="Web pages that may call it, such as https://app.example.com, with commas."
        ),
    ] = "",
    data_dir: Annotated[
        pathlib.Path, typer.Option(envvar="DUETIME_DATA_DIR", help="Where everything is kept.")
    ] = pathlib.Path(".duetime"),
    servers: Annotated[int, typer.Option(envvar="DUETIME_SERVERS", min=1, help="How many servers.")] = 1,
    workers: Annotated[int, typer.Option(envvar="DUETIME_WORKERS", min=0, help="How many workers.")] = 1,
    database_url: Annotated[
        str | None,
        typer.Option(envvar="DUETIME_DATABASE_URL", help="A PostgreSQL that runs; else an embedded one."),
    ] = None,
    redis_url: Annotated[
        str | None, typer.Option(envvar="DUETIME_REDIS_URL", help="A Redis that runs; else an embedded Valkey.")
    ] = None,
    handlers: Annotated[
        str,
        typer.Option(
            envvar="DUETIME_HANDLERS",
            help="Modules with your handlers, separated by commas. They are imported from this directory.",
        ),
    ] = "",
    queues: Annotated[
        str, typer.Option(envvar="DUETIME_QUEUES", help="The queues of the workers, separated by commas.")
    ] = "default",
) -> None:
    """Runs all of Duetime on this machine, until Ctrl-C or SIGTERM.

    PostgreSQL, Valkey and Envoy come with it. The data stays in the data directory.
    """
    options = stack.Options(
        host=host,
        port=port,
        hosts=hosts,
        origins=origins,
        data_dir=data_dir,
        servers=servers,
        workers=workers,
        database_url=database_url or None,
        redis_url=redis_url or None,
        handlers=handlers,
        queues=queues,
    )
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        stack.run(options)
    except KeyboardInterrupt:
        typer.echo("stopped")
    except errors.StackError as error:
        typer.echo(f"duetime up: {error}", err=True)
        raise typer.Exit(1) from error


def _stop(number: int, frame: types.FrameType | None) -> NoReturn:
    # From here on another signal must not interrupt what stops the parts.
    for each in _SIGNALS:
        signal.signal(each, _still_stopping)
    raise KeyboardInterrupt


def _still_stopping(number: int, frame: types.FrameType | None) -> None:
    # Not echo: a handler may run in the middle of one.
    os.write(2, b"still stopping: tasks that run have up to 30 s to finish\n")
