"""Schedules that cannot be advanced: set aside, so that others go on."""

import datetime

import sqlalchemy.exc
import structlog
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import error_mapping, namespaced

_SET_ASIDE = namespaced.text("""
UPDATE schedules SET advance_failures = least(advance_failures, 30) + 1, advance_error = :error,
    advance_at = now() + least(interval '1 second' * 2 ^ least(advance_failures + 1, 30), CAST(:longest AS interval))
WHERE schedule_id = :schedule_id AND namespace_id = :namespace_id RETURNING advance_at
""")
_LONGEST_BACKOFF = datetime.timedelta(minutes=15)
_LONGEST_UNREADABLE = datetime.timedelta(seconds=30)
"""Another worker, of a newer release, may read it."""
_MOST_ERROR_CHARACTERS = 500

_log = structlog.get_logger()


def require_connection(error: Exception) -> None:
    """Raises the error if it is not the data's fault: the connection is lost."""
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated:
        raise error


async def set_aside(connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int, error: Exception) -> None:
    """Notes why the schedule cannot be advanced, and when that is tried again: later each time."""
    explained: Exception | None = error
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        explained = error_mapping.explain(error)
    is_known = isinstance(explained, errors.DuetimeError)
    message = str(explained) if is_known else f"{type(error).__name__}: {error}".partition("\n")[0]
    longest = _LONGEST_UNREADABLE if isinstance(explained, errors.ScheduleUnreadable) else _LONGEST_BACKOFF
    parameters = {
        "schedule_id": schedule_id,
        "error": message.replace("\0", "")[:_MOST_ERROR_CHARACTERS],
        "longest": longest,
    }
    again_at = (await connection.execute(_SET_ASIDE, parameters)).scalar_one()
    _log.warning(
        "a schedule cannot be advanced and is set aside",
        schedule_id=schedule_id,
        until=again_at.isoformat(),
        **({"error": message} if is_known else {"exc_info": error}),
    )
