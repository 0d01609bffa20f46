"""Reading the log of a schedule."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, schedule
from duetime_core.postgres import database, namespaced
from duetime_core.store.schedules import columns

_LIST_LOGS = namespaced.text(f"""
SELECT {columns.LOG_COLUMNS} FROM schedule_logs
WHERE schedule_id = :schedule_id AND namespace_id = :namespace_id AND log_id > :after ORDER BY log_id LIMIT :limit
""")


async def list_logs(
    engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int, *, after: int, limit: int
) -> list[schedule.ScheduleLog]:
    """Returns up to `limit` rows of the schedule's log with a log_id above `after`, oldest first; a deleted one's too.

    Raises ScheduleNotFound if there never was such a schedule.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            parameters = {"schedule_id": schedule_id, "after": after, "limit": limit}
            logs = [schedule.ScheduleLog(*row) for row in await connection.execute(_LIST_LOGS, parameters)]
            if not logs and not after:
                raise errors.ScheduleNotFound.of(schedule_id)
            return logs
