"""All of Duetime on one machine: which parts there are, and in which order they start and stop."""

import os
from collections.abc import Sequence

import typer

from duetime_stack import (
    edge,
    egress,
    layout,
    lock,
    mailbox,
    options,
    ports,
    processes,
    program,
    sockets,
    stores,
    supervision,
)


def run(wanted: options.Options, listening: options.Listening) -> None:
    """Runs the stack until KeyboardInterrupt is raised in it, and then stops it. Raises StackError."""
    if not ports.is_loopback(listening.address):
        warning = f"WARNING: there is no authentication yet. Anyone who reaches {listening.address} can do everything."
        typer.secho(warning, fg="red", bold=True, err=True)
    places = layout.Layout(wanted.data_dir.absolute())
    places.make()
    with lock.exclusive(places) as inherited:
        ports.require_free(listening.address, listening.port)
        with sockets.lend(places) as at:
            _run(wanted, listening, places, at, inherited)


def _run(
    wanted: options.Options, listening: options.Listening, places: layout.Layout, at: sockets.Sockets, inherited: int
) -> None:
    doorbell = stores.doorbell(wanted.redis_url, at)
    database = stores.database(wanted.database_url, places, at)
    environment = dict(os.environ) | {
        "DUETIME_DATABASE_URL": database.url,
        "DUETIME_REDIS_URL": doorbell.url,
        "DUETIME_HANDLERS": wanted.handlers,
        "DUETIME_QUEUES": wanted.queues,
    }
    environment.setdefault("DUETIME_REPORT_DIRECTORY", str(places.reports))
    environment |= egress.environment(environment, listening.address, listening.port, listening.allowed.hosts)
    mail = _mailbox(places, at, environment)
    servers = [processes.make_server(number, at.server(number)) for number in range(wanted.servers)]
    workers = [processes.make_worker(number, places) for number in range(wanted.workers)]
    addresses = [f"unix:{at.server(number)}" for number in range(wanted.servers)]
    envoy = [edge.make_program(places, listening.address, listening.port, addresses, listening.allowed)]
    kept = [*database.programs, *doorbell.programs, *mail]
    stages = [stage for stage in (database.programs, doorbell.programs, mail, workers, servers, envoy) if stage]
    with supervision.supervise(places, stages, environment, at.supervisor, inherited) as supervisor:
        supervisor.start(kept)
        processes.migrate(places, environment | database.migrations)
        supervisor.start([*workers, *servers, *envoy])
        typer.echo(
            f"duetime is ready  {edge.url(listening.address, listening.port)}  {database.shown}  {doorbell.shown}"
        )
        _hint(places, mail)
        supervisor.watch()


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
