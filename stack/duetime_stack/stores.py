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


def database(url: str | None, places: layout.Layout, at: sockets.Sockets) -> Store:
    """Returns the PostgreSQL of this address, or one of this stack's. Raises StackError if it is unreachable."""
    if url is not None:
        from duetime_stack import named  # see there

        return Store(url, named.database(url), {}, [])
    data = places.postgres
    if pgdata.is_new(data):
        typer.echo(f"making a database in {data}")
    pgdata.prepare(data, places.run)
    return Store(
        postgres.url(data, at.directory),
        postgres.public_url(data, at.directory),
        {
            "DUETIME_DATABASE_URL": postgres.url(data, at.directory, roles.OWNER),
            "DUETIME_APPLICATION_ROLE": roles.APPLICATION,
        },
        [postgres.make_program(data, at.directory)],
    )


def doorbell(url: str | None, at: sockets.Sockets) -> Store:
    """Returns the Redis of this address, or a Valkey of this stack's. Raises StackError if it is unreachable."""
    if url is not None:
        from duetime_stack import named  # see there

        return Store(url, named.doorbell(url), {}, [])
    embedded = valkey.url(at.valkey)
    return Store(embedded, embedded, {}, [valkey.make_program(at.valkey)])
