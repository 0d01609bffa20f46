"""External stores: the user's own PostgreSQL and Redis, instead of the embedded ones.

Imported only when one is used: its libraries take longer to import than all others of the stack together.
"""

import pathlib
from collections.abc import Callable

import psycopg
import redis

from duetime_core.process import urls
from duetime_stack import errors

_CHECKS: dict[str, Callable[[str], str]] = {"database_url": urls.check_postgres, "redis_url": urls.check_redis}


def url(name: str, given: str, *, is_visible: bool) -> str:
    """Returns the URL given as this option, or the content of the file given as @FILE.

    `is_visible` means that every user of the machine can read the option. Raises StackError, without quoting the URL.
    """
    flag, variable = f"--{name.replace('_', '-')}", f"DUETIME_{name.upper()}"
    if not given.startswith("@"):
        found = given
    else:
        try:
            found = pathlib.Path(given[1:]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            raise errors.StackError(f"{given[1:]} cannot be read ({flag} or {variable}): {reason}") from None
    try:
        checked = _CHECKS[name](found)
    except ValueError as error:
        raise errors.StackError(f"{flag} or {variable} {error}") from None
    if is_visible and found is given and urls.has_secret(found):
        raise errors.StackError(
            f"{flag} contains a password, which every user of this machine can read in the process list; set "
            f"{variable} instead, or put the URL in a file and pass @FILE"
        )
    return checked


def database(database_url: str) -> str:
    """Returns the URL of a PostgreSQL without its password. Raises StackError if it cannot be reached."""
    shown = urls.shown(database_url)
    try:
        # Instead of the URL's own timeout, which is for the pools of servers and workers.
        psycopg.connect(**{**urls.postgres_arguments(database_url), "connect_timeout": 5}).close()
    except psycopg.Error as error:
        raise errors.StackError(
            f"cannot connect to PostgreSQL at {shown} (--database-url or DUETIME_DATABASE_URL): {error}"
        ) from error
    return shown


def doorbell(redis_url: str) -> str:
    """Returns the URL of a Redis without its password. Raises StackError if it cannot be reached."""
    shown = urls.shown(redis_url)
    try:
        options = urls.redis_options(redis_url)
        with redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5, **options) as client:
            client.ping()
    except redis.RedisError as error:
        raise errors.StackError(
            f"cannot connect to Redis at {shown} (--redis-url or DUETIME_REDIS_URL): {error}"
        ) from error
    return shown
