"""The two stores: those of this stack, or those that already run and that its user named."""

import psycopg
import redis
import typer

from duetime_core import urls
from duetime_stack import errors, layout, ports, postgres, program, valkey

Store = tuple[str, list[program.Program]]
"""Where it is, and the program that serves it if that is one of this stack's."""


def database(url: str | None, places: layout.Layout, free: ports.FreePorts) -> Store:
    """Returns the PostgreSQL of this address, or one of this stack's. Raises StackError if it is unreachable."""
    if url is not None:
        try:
            postgres.connect_once(url)
        except psycopg.Error as error:
            raise errors.StackError(
                f"no PostgreSQL answers at {urls.shown(url)} (--database-url or DUETIME_DATABASE_URL): {error}"
            ) from error
        return url, []
    if postgres.is_new(places.postgres):
        typer.echo(f"making a database in {places.postgres}")
    postgres.prepare(places.postgres)
    port = free.take()
    return postgres.url(port), [postgres.make_program(places.postgres, port)]


def doorbell(url: str | None, free: ports.FreePorts) -> Store:
    """Returns the Redis of this address, or a Valkey of this stack's. Raises StackError if it is unreachable."""
    if url is not None:
        try:
            valkey.connect_once(url)
        except redis.RedisError as error:
            raise errors.StackError(
                f"no Redis answers at {urls.shown(url)} (--redis-url or DUETIME_REDIS_URL): {error}"
            ) from error
        return url, []
    port = free.take()
    return valkey.url(port), [valkey.make_program(port)]
