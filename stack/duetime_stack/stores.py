"""The two stores, PostgreSQL and Redis: embedded, or the user's own."""

import dataclasses

import typer

from duetime_stack import layout, pgdata, postgres, program, roles, sockets, valkey


@dataclasses.dataclass(frozen=True)
class Store:
    """A store and its URLs."""

    url: str
    """For servers and workers."""
    shown: str
    """For the terminal, without secrets."""
    migrations: dict[str, str]
    """Further settings of the migrations."""
    programs: list[program.Program]
    """The program that serves it, if it is embedded."""


def database(url: str | None, paths: layout.Layout, socket_paths: sockets.Sockets) -> Store:
    """Returns the PostgreSQL at the URL, or the embedded one. Raises StackError if it is unreachable."""
    if url is not None:
        from duetime_stack import external  # slow to import

        return Store(url, external.database(url), {}, [])
    data = paths.postgres
    if pgdata.is_new(data):
        typer.echo(f"creating a database in {data}")
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
    """Returns the Redis at the URL, or the embedded Valkey. Raises StackError if it is unreachable."""
    if url is not None:
        from duetime_stack import external  # slow to import

        return Store(url, external.doorbell(url), {}, [])
    embedded = valkey.url(socket_paths.valkey)
    return Store(embedded, embedded, {}, [valkey.make_program(socket_paths.valkey)])
