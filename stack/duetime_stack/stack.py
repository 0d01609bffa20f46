"""A stack: its processes, and the order in which they start and stop."""

import contextlib
import os
import pathlib
import shlex
from collections.abc import Iterator

import typer

from duetime_stack import (
    edge,
    egress,
    layout,
    lock,
    mailbox,
    options,
    pgdata,
    ports,
    processes,
    program,
    replacement,
    sockets,
    stores,
    supervision,
)


def run(wanted: options.Options, listening: options.Listening) -> None:
    """Runs the stack until KeyboardInterrupt, and then stops it. Raises StackError."""
    if listening.warning:
        typer.secho(f"WARNING: {listening.warning}.", fg="red", bold=True, err=True)
    paths = layout.Layout(wanted.data_dir.absolute())
    paths.create()
    with lock.exclusive(paths) as inherited:
        ports.require_free(listening.address, listening.port)
        with sockets.prepare(paths) as socket_paths:
            _run(wanted, listening, paths, socket_paths, inherited)


def _run(
    wanted: options.Options,
    listening: options.Listening,
    paths: layout.Layout,
    socket_paths: sockets.Sockets,
    inherited: int,
) -> None:
    has_data = not pgdata.is_new(paths.postgres)
    had_key = paths.admin_key.exists()
    doorbell = stores.doorbell(wanted.redis_url, socket_paths)
    database = stores.database(wanted.database_url, paths, socket_paths)
    environment = dict(os.environ) | {
        options.AUTH: "keys" if wanted.demands_keys else "open",
        "DUETIME_DATABASE_URL": database.url,
        "DUETIME_REDIS_URL": doorbell.url,
        "DUETIME_HANDLERS": wanted.handlers,
        "DUETIME_QUEUES": wanted.queues,
    }
    environment.setdefault("DUETIME_REPORT_DIRECTORY", str(paths.reports))
    environment |= egress.environment(environment, listening.address, listening.port, listening.allowed.hosts)
    mail = _mailbox(paths, socket_paths, environment)
    servers = [processes.make_server(number, socket_paths.server(number)) for number in range(wanted.servers)]
    workers = [processes.make_worker(number, paths) for number in range(wanted.workers)]
    addresses = [f"unix:{socket_paths.server(number)}" for number in range(wanted.servers)]
    at = (listening.address, listening.port)
    envoy = [edge.make_program(paths, *at, addresses, listening.allowed, listening.certificate, listening.limits)]
    dependencies = [*database.programs, *doorbell.programs, *mail]
    stages = [stage for stage in (database.programs, doorbell.programs, mail, workers, servers, envoy) if stage]
    with (
        supervision.supervise(paths, stages, environment, socket_paths.supervisor, inherited) as supervisor,
        _removed_at_end(paths.admin_address),  # before Envoy stops, and its port is free for others
    ):
        supervisor.start(dependencies)
        admin_key = processes.prepare(paths, environment | database.migrations, with_key=wanted.demands_keys)
        supervisor.start([*workers, *servers, *envoy])
        if wanted.demands_keys:
            replacement.write(paths.admin_address, f"{edge.authority(*at)}\n")
        url = edge.url(*at, is_encrypted=bool(listening.certificate))
        typer.echo(f"duetime is ready at {url}")
        typer.echo(f"  PostgreSQL  {database.shown}")
        typer.echo(f"  Redis       {doorbell.shown}")
        if wanted.demands_keys:
            typer.echo(f"  admin key   {admin_key or paths.admin_key}")
            if not admin_key:
                _explain_key(paths, url, is_change=has_data and not had_key)
        if mail:
            typer.echo(f"  mail        {paths.mailbox / 'new'}")
        typer.echo(f"  logs        {paths.logs}")
        typer.echo("Ctrl-C stops it")
        supervisor.watch()


def _explain_key(paths: layout.Layout, url: str, *, is_change: bool) -> None:
    curl = f"curl -H @{shlex.quote(str(paths.admin_key))} {url}/api/tasks"
    typer.echo(f"              {curl}; the command line and the Python client find it by themselves")
    if is_change:
        typer.echo("              It is new: calls to this data need an API key now. --open starts without, as before")


@contextlib.contextmanager
def _removed_at_end(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _mailbox(paths: layout.Layout, socket_paths: sockets.Sockets, environment: dict[str, str]) -> list[program.Program]:
    """Returns the mailbox and adds its settings to the environment, unless the user set a mail server."""
    if environment.get("DUETIME_SMTP_HOST"):
        return []
    environment |= mailbox.environment(socket_paths.mailbox)
    return [mailbox.make_program(paths.mailbox, socket_paths.mailbox)]
