"""The PostgreSQL and the Redis that the user of a stack named, instead of the embedded ones.

Only who names one imports this: its libraries take longer to import than all others of the stack together.
"""

import pathlib
from collections.abc import Callable

import psycopg
import redis

from duetime_core.process import urls
from duetime_stack import errors

_CHECKS: dict[str, Callable[[str], str]] = {"database_url": urls.check_postgres, "redis_url": urls.check_redis}


def url(name: str, given: str, *, is_visible: bool) -> str:
    """Returns the URL that was given as the option of this name, or that is in the file that was.

    What is visible is for every user of the machine to read. Raises StackError, without quoting the URL.
    """
    flag, variable = f"--{name.replace('_', '-')}", f"DUETIME_{name.upper()}"
    if not given.startswith("@"):
        found = given
    else:
        try:
            found = pathlib.Path(given[1:]).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise errors.StackError(f"{given[1:]} cannot be read ({flag} or {variable}): {reason}") from None
    try:
        _CHECKS[name](found)
    except ValueError as error:
        raise errors.StackError(f"{flag} or {variable} {error}") from None
    if is_visible and found is given and urls.has_secret(found):
        raise errors.StackError(
            f"{flag} has a password, which every user of this machine can see in the list of processes; set "
            f"{variable} instead, or give @FILE with the URL in that file"
        )
    return found


def database(database_url: str) -> str:
    """Returns the URL of a PostgreSQL as it may be shown. Raises StackError if none answers there."""
    shown = urls.shown(database_url)
    try:
        # Its own timeout, if it has one, is for those who connect all the time.
        psycopg.connect(**{**urls.postgres_arguments(database_url), "connect_timeout": 5}).close()
    except psycopg.Error as error:
        raise errors.StackError(
            f"no PostgreSQL answers at {shown} (--database-url or DUETIME_DATABASE_URL): {error}"
        ) from error
    return shown


def doorbell(redis_url: str) -> str:
    """Returns the URL of a Redis as it may be shown. Raises StackError if none answers there."""
    shown = urls.shown(redis_url)
    try:
        with redis.Redis.from_url(redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except redis.RedisError as error:
        raise errors.StackError(f"no Redis answers at {shown} (--redis-url or DUETIME_REDIS_URL): {error}") from error
    return shown
