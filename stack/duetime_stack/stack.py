"""All of Duetime on one machine: which parts there are, and in which order they start and stop."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import typer

from duetime_stack import (
    access,
    account,
    edge,
    egress,
    errors,
    layout,
    lock,
    mailbox,
    ports,
    processes,
    program,
    sockets,
    stores,
    supervision,
)


@dataclasses.dataclass(frozen=True)
class Options:
    """What `duetime up` was told."""

    host: str
    port: int
    hosts: str
    """Names that Envoy serves besides `host` and the loopback names, separated by commas."""
    origins: str
    """Origins of web pages that may call, separated by commas."""
    data_dir: pathlib.Path
    insecure_listen: bool
    """Whether other machines may reach it, although there is no authentication."""
    servers: int
    workers: int
    database_url: str | None
    """A PostgreSQL that already runs, instead of the embedded one."""
    redis_url: str | None
    """A Redis that already runs, instead of the embedded one."""
    handlers: str
    queues: str


def run(options: Options) -> None:
    """Runs the stack until KeyboardInterrupt is raised in it, and then stops it. Raises StackError."""
    address = ports.resolve(options.host)
    allowed = access.parse((options.host, address), options.hosts, options.origins)
    _require_loopback(address, options)
    account.leave_root(options.data_dir, needs_directory=bool(options.handlers))
    if not ports.is_loopback(address):
        warning = f"WARNING: there is no authentication yet. Anyone who reaches {address} can do everything."
        typer.secho(warning, fg="red", bold=True, err=True)
    places = layout.Layout(options.data_dir.absolute())
    places.make()
    with lock.exclusive(places) as inherited:
        ports.require_free(address, options.port)
        with sockets.lend(places) as at:
            _run(options, address, allowed, places, at, inherited)


def _run(
    options: Options, address: str, allowed: access.Access, places: layout.Layout, at: sockets.Sockets, inherited: int
) -> None:
    doorbell = stores.doorbell(options.redis_url, at)
    database = stores.database(options.database_url, places, at)
    environment = dict(os.environ) | {
        "DUETIME_DATABASE_URL": database.url,
        "DUETIME_REDIS_URL": doorbell.url,
        "DUETIME_HANDLERS": options.handlers,
        "DUETIME_QUEUES": options.queues,
    }
    environment.setdefault("DUETIME_REPORT_DIRECTORY", str(places.reports))
    environment |= egress.environment(environment, address, options.port, allowed.hosts)
    mail = _mailbox(places, at, environment)
    servers = [processes.make_server(number, at.server(number)) for number in range(options.servers)]
    workers = [processes.make_worker(number, places) for number in range(options.workers)]
    listening = [f"unix:{at.server(number)}" for number in range(options.servers)]
    envoy = [edge.make_program(places, address, options.port, listening, allowed)]
    kept = [*database.programs, *doorbell.programs, *mail]
    stages = [stage for stage in (database.programs, doorbell.programs, mail, workers, servers, envoy) if stage]
    with supervision.supervise(places, stages, environment, at.supervisor, inherited) as supervisor:
        supervisor.start(kept)
        processes.migrate(places, environment | database.migrations)
        supervisor.start([*workers, *servers, *envoy])
        typer.echo(f"duetime is ready  {edge.url(address, options.port)}  {database.shown}  {doorbell.shown}")
        _hint(places, mail)
        supervisor.watch()


def _require_loopback(address: str, options: Options) -> None:
    if not ports.is_loopback(address) and not options.insecure_listen:
        raise errors.StackError(
            f"other machines may reach {address} (--host or DUETIME_HOST), and there is no authentication and no "
            "encryption yet: keep to 127.0.0.1, or accept that anyone who reaches it can do everything, with "
            "--insecure-listen or DUETIME_INSECURE_LISTEN=1"
        )


def _mailbox(places: layout.Layout, at: sockets.Sockets, environment: dict[str, str]) -> list[program.Program]:
    """Returns the mailbox and tells the workers of it, unless the user named a mail server."""
    if environment.get("DUETIME_SMTP_HOST"):
        return []
    environment |= mailbox.environment(at.mailbox)
    return [mailbox.make_program(places.mailbox, at.mailbox)]


def _hint(places: layout.Layout, mail: Sequence[program.Program]) -> None:
    if mail:
        typer.echo(f"mail that tasks send arrives in {places.mailbox / 'new'}")
    typer.echo(f"logs are in {places.logs}; Ctrl-C stops everything")
