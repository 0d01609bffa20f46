"""`duetime up`, which the command line loads by its entry point."""

import os
import pathlib
import signal
import types
from typing import Annotated, NoReturn

import typer

from duetime_stack import errors, options, privileges, rates

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def command(
    context: typer.Context,
    host: Annotated[str, typer.Option(envvar="DUETIME_HOST", help="The address that Envoy listens on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            envvar="DUETIME_PORT", min=1, max=65535, help="The port that Envoy listens on, for REST and gRPC."
        ),
    ] = 8080,
    hosts: Annotated[
        str,
        typer.Option(
            envvar="DUETIME_HOSTS", help="Further host names to accept, comma-separated, such as duetime.example.com."
        ),
    ] = "",
    origins: Annotated[
        str,
        typer.Option(
            envvar="DUETIME_ORIGINS",
            help="Origins of web pages that may call the API, comma-separated, such as https://app.example.com.",
        ),
    ] = "",
    data_dir: Annotated[
        pathlib.Path, typer.Option(envvar="DUETIME_DATA_DIR", help="The directory for all data and logs.")
    ] = pathlib.Path(".duetime"),
    servers: Annotated[int, typer.Option(envvar="DUETIME_SERVERS", min=1, help="The number of servers.")] = 1,
    workers: Annotated[int, typer.Option(envvar="DUETIME_WORKERS", min=0, help="The number of workers.")] = 1,
    tls_cert: Annotated[
        pathlib.Path | None,
        typer.Option(
            envvar="DUETIME_TLS_CERT",
            help="A PEM file with the certificate, followed by its issuers': all calls are encrypted.",
        ),
    ] = None,
    tls_key: Annotated[
        pathlib.Path | None,
        typer.Option(envvar="DUETIME_TLS_KEY", help="A PEM file with the certificate's private key."),
    ] = None,
    is_open: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Demand no API keys: every user and program of this machine may do everything.",
        ),
    ] = False,
    insecure_listen: Annotated[
        bool,
        typer.Option(
            "--insecure-listen",
            envvar="DUETIME_INSECURE_LISTEN",
            help="Allow a --host that other machines can reach without encryption.",
        ),
    ] = False,
    insecure_open: Annotated[
        bool,
        typer.Option(
            "--insecure-open",
            envvar="DUETIME_INSECURE_OPEN",
            help="Allow --open with a --host that other machines can reach: anyone there may do everything.",
        ),
    ] = False,
    address_rate: Annotated[
        int,
        typer.Option(
            envvar="DUETIME_ADDRESS_RATE",
            min=1,
            max=rates.MOST,
            help="How many requests a second Envoy takes from one address.",
        ),
    ] = rates.OF_ADDRESS,
    total_rate: Annotated[
        int,
        typer.Option(
            envvar="DUETIME_TOTAL_RATE",
            min=1,
            max=rates.MOST,
            help="How many requests a second Envoy takes from all addresses.",
        ),
    ] = rates.TOTAL,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="DUETIME_DATABASE_URL",
            help="The URL of your own PostgreSQL, or @FILE that contains it. Default: an embedded one.",
        ),
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            envvar="DUETIME_REDIS_URL",
            help="The URL of your own Redis, or @FILE that contains it. Default: an embedded Valkey.",
        ),
    ] = None,
    handlers: Annotated[
        str,
        typer.Option(
            envvar="DUETIME_HANDLERS",
            help="Modules with your handlers, comma-separated, imported from the current directory.",
        ),
    ] = "",
    queues: Annotated[
        str, typer.Option(envvar="DUETIME_QUEUES", help="The queues of the workers, comma-separated.")
    ] = "default",
) -> None:
    """Run all of Duetime on this machine, until Ctrl-C or SIGTERM.

    PostgreSQL, Valkey and Envoy are included. The data is kept in the data directory. Callers need an API key; the
    first start writes one to admin.key in that directory.
    """
    for number in _SIGNALS:
        # Keep ignored signals ignored: nohup ignores hang-ups, and shells ignore Ctrl-C for background jobs.
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
            tls_cert=tls_cert,
            tls_key=tls_key,
            demands_keys=options.demands_keys(is_open=is_open, auth=os.environ.get(options.AUTH, "")),
            insecure_listen=insecure_listen,
            insecure_open=insecure_open,
            database_url=_url(context, "database_url", database_url),
            redis_url=_url(context, "redis_url", redis_url),
            handlers=handlers,
            queues=queues,
            limits=rates.Rates(address_rate, total_rate),
        )
        listening = options.listening(wanted)
        # Files created from here on are private.
        os.umask(0o077)
        privileges.drop(data_dir, needs_directory=bool(handlers))
        # Imported only now: root executes this program again before it gets here.
        from duetime_stack import stack

        stack.run(wanted, listening)
    except KeyboardInterrupt:
        typer.echo("stopped")
    except errors.StackError as error:
        typer.echo(f"duetime up: {error}", err=True)
        raise typer.Exit(1) from error


def _url(context: typer.Context, name: str, given: str | None) -> str | None:
    """Returns the URL of an external store, or None. Raises StackError if it is invalid."""
    if not given:
        return None
    from duetime_stack import external  # slow to import

    source = context.get_parameter_source(name)
    return external.url(name, given, is_visible=source is not None and source.name == "COMMANDLINE")


def _stop(number: int, frame: types.FrameType | None) -> NoReturn:
    # From here on a further signal must not interrupt the shutdown.
    for each in _SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _still_stopping)
    raise KeyboardInterrupt


def _still_stopping(number: int, frame: types.FrameType | None) -> None:
    # Not typer.echo: a signal handler may interrupt one.
    os.write(2, b"still stopping: running tasks have up to 30 s to finish\n")
