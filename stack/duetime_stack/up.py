"""`duetime up`, which the command line finds by its entry point."""

import os
import pathlib
import signal
import types
from typing import Annotated, NoReturn

import typer

from duetime_stack import errors, options, privileges

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def command(
    context: typer.Context,
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
    insecure_listen: Annotated[
        bool,
        typer.Option(
            "--insecure-listen",
            envvar="DUETIME_INSECURE_LISTEN",
            help="Allow a --host that other machines reach, although anyone there can then do everything.",
        ),
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="DUETIME_DATABASE_URL",
            help="A PostgreSQL that runs, or @FILE with its URL; else an embedded one.",
        ),
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            envvar="DUETIME_REDIS_URL", help="A Redis that runs, or @FILE with its URL; else an embedded Valkey."
        ),
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
    for number in _SIGNALS:
        # What is ignored stays so: nohup has hang-ups ignored, and a shell the Ctrl-C of its background jobs.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        wanted = options.Options(
            host=host,
            port=port,
            hosts=hosts,
            origins=origins,
            data_dir=data_dir,
            servers=servers,
            workers=workers,
            insecure_listen=insecure_listen,
            database_url=_url(context, "database_url", database_url),
            redis_url=_url(context, "redis_url", redis_url),
            handlers=handlers,
            queues=queues,
        )
        listening = options.listening(wanted)
        # Nothing that is made from here on is for others to read.
        os.umask(0o077)
        privileges.drop(data_dir, needs_directory=bool(handlers))
        # Not before: root, who starts this program once more, would import it for nothing.
        from duetime_stack import stack

        stack.run(wanted, listening)
    except KeyboardInterrupt:
        typer.echo("stopped")
    except errors.StackError as error:
        typer.echo(f"duetime up: {error}", err=True)
        raise typer.Exit(1) from error


def _url(context: typer.Context, name: str, given: str | None) -> str | None:
    """Returns the URL of a store that the user named. Raises StackError if it is none."""
    if not given:
        return None
    from duetime_stack import external  # see there

    source = context.get_parameter_source(name)
    return external.url(name, given, is_visible=source is not None and source.name == "COMMANDLINE")


def _stop(number: int, frame: types.FrameType | None) -> NoReturn:
    # From here on another signal must not interrupt what stops the parts.
    for each in _SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _still_stopping)
    raise KeyboardInterrupt


def _still_stopping(number: int, frame: types.FrameType | None) -> None:
    # Not echo: a handler may run in the middle of one.
    os.write(2, b"still stopping: tasks that run have up to 30 s to finish\n")
