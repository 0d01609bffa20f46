"""The checks of `duetime doctor`: each returns findings, one line each, with what to do."""

from collections.abc import AsyncIterator

import redis
import redis.exceptions
import sqlalchemy
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.model import errors
from duetime_core.postgres import database, inspection, replication, schema
from duetime_core.process import urls
from duetime_core.store.schedules import ahead
from duetime_core.store.tasks import ids
from duetime_stack import finding, standbys

_REDIS_SECONDS = 5


async def of_postgres(database_url: str) -> AsyncIterator[finding.Finding]:
    """Yields what is found of PostgreSQL and the tasks in it."""
    # Also a replica, to say that it is one.
    url = sqlalchemy.make_url(database_url).update_query_dict({"target_session_attrs": "any"})
    engine = database.connect(url.render_as_string(hide_password=False), pool_size=1)
    try:
        async for found in _of_engine(engine, urls.shown(database_url)):
            yield found
    except errors.StoreUnavailable as error:
        problem = f"PostgreSQL at {urls.shown(database_url)} cannot be used: {_cause(error)}"
        yield finding.Finding(finding.Level.ERROR, f"{problem}. Check DUETIME_DATABASE_URL, and that PostgreSQL runs")
    finally:
        await engine.dispose()


async def _of_engine(engine: sqlalchemy_asyncio.AsyncEngine, shown: str) -> AsyncIterator[finding.Finding]:
    server = await inspection.read(engine)
    yield _role(server, shown)
    if server.release < inspection.OLDEST:
        yield finding.Finding(finding.Level.ERROR, f"PostgreSQL {server.version} is too old: upgrade it to 15 or newer")
    yield finding.Finding(finding.Level.OK, "the settings of sessions are in force")
    if not server.flushes:
        yield finding.Finding(finding.Level.ERROR, "fsync is off: a crash can destroy all tasks. Set it to on")
    if not server.writes_full_pages:
        yield finding.Finding(finding.Level.WARNING, "full_page_writes is off: a crash can destroy tasks. Set it to on")
    if server.synchronous_commit == "off":
        yield finding.Finding(
            finding.Level.ERROR, "synchronous_commit is off: a crash loses tasks that were accepted. Set it to on"
        )
    if not server.is_replica:
        for found in standbys.check(await replication.read(engine)):
            yield found
    if missing := await migrate.missing(engine):
        names = ", ".join(missing)
        yield finding.Finding(
            finding.Level.ERROR, f"migrations are missing ({names}): run python -m duetime_core.migrate"
        )
        return
    yield finding.Finding(finding.Level.OK, "all migrations are applied")
    yield _of_ids(await ids.last(engine))
    if schedules := await ahead.read(engine):
        numbers = ", ".join(map(str, schedules))
        yield finding.Finding(
            finding.Level.WARNING,
            f"schedules {numbers} are ahead of the database's clock, which was wrong before: pause and resume each, so "
            "that it continues from now",
        )


def _role(server: inspection.Server, shown: str) -> finding.Finding:
    place = f"PostgreSQL {server.version} at {shown}"
    if not server.is_replica:
        return finding.Finding(finding.Level.OK, f"{place} is a primary")
    return finding.Finding(
        finding.Level.ERROR, f"{place} is a replica, which takes no writes: name the primary, or all hosts"
    )


def _of_ids(last: int) -> finding.Finding:
    used = f"{last:,} of {schema.MAX_TASK_ID:,} task ids are used, {schema.MAX_TASK_ID - last:,} remain"
    if last > ids.NEARLY_ALL:
        return finding.Finding(
            finding.Level.ERROR, f"{used}: once none is left, no task can be created. Move to a new database"
        )
    return finding.Finding(finding.Level.WARNING if last > ids.HALF else finding.Level.OK, used)


def of_redis(redis_url: str) -> finding.Finding:
    """Returns what is found of Redis."""
    shown = urls.shown(redis_url)
    try:
        with redis.Redis.from_url(
            redis_url,
            socket_timeout=_REDIS_SECONDS,
            socket_connect_timeout=_REDIS_SECONDS,
            **urls.redis_options(redis_url),
        ) as client:
            client.ping()
            memory = client.info("memory")
    except redis.exceptions.NoPermissionError:
        return finding.Finding(
            finding.Level.WARNING,
            f"Redis at {shown} answers, but its user may not read maxmemory-policy: make sure that it is noeviction",
        )
    except (redis.exceptions.RedisError, OSError) as error:
        reason = str(error).rstrip(".")
        return finding.Finding(
            finding.Level.ERROR,
            f"Redis at {shown} cannot be used: {reason}. Check DUETIME_REDIS_URL, and that Redis runs. Until then "
            "tasks start up to a second late",
        )
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        return finding.Finding(
            finding.Level.WARNING,
            f"Redis at {shown} may drop wakeups: set its maxmemory-policy, {policy}, to noeviction",
        )
    return finding.Finding(finding.Level.OK, f"Redis at {shown} answers, and drops nothing")


def _cause(error: errors.StoreUnavailable) -> str:
    cause = error.__cause__
    original = cause.orig if isinstance(cause, sqlalchemy.exc.DBAPIError) else cause
    return str(original or error).strip().splitlines()[0]
