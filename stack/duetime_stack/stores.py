"""The two stores: those of this stack, or those that already run and that its user named."""

import dataclasses

import typer

from duetime_stack import layout, pgdata, postgres, program, roles, sockets, valkey


@dataclasses.dataclass(frozen=True)
class Store:
    """A store, and how programs and people reach it."""

    url: str
    """For servers and workers."""
    shown: str
    """For the terminal, without what may be a secret."""
    migrations: dict[str, str]
    """What the migrations are told besides."""
    programs: list[program.Program]
    """What serves it, if it is one of this stack's."""


def database(url: str | None, paths: layout.Layout, socket_paths: sockets.Sockets) -> Store:
    """Returns the PostgreSQL of this address, or one of this stack's. Raises StackError if it is unreachable."""
    if url is not None:
        from duetime_stack import external  # see there

        return Store(url, external.database(url), {}, [])
    data = paths.postgres
    if pgdata.is_new(data):
        typer.echo(f"making a database in {data}")
    pgdata.prepare(data, paths.run)
    return Store(
        postgres.url(data, socket_paths.directory),
        postgres.public_url(data, socket_paths.directory),
        {
            "DUETIME_DATABASE_URL": postgres.url(data, socket_paths.directory, roles.OWNER),
            "DUETIME_APPLICATION_ROLE": roles.APPLICATION,
        },
        [postgres.make_program(data, socket_paths.directory)],
    )


def doorbell(url: str | None, socket_paths: sockets.Sockets) -> Store:
    """Returns the Redis of this address, or a Valkey of this stack's. Raises StackError if it is unreachable."""
    if url is not None:
        from duetime_stack import external  # see there

        return Store(url, external.doorbell(url), {}, [])
    embedded = valkey.url(socket_paths.valkey)
    return Store(embedded, embedded, {}, [valkey.make_program(socket_paths.valkey)])
