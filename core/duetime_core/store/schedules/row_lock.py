"""The row lock of a schedule."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, schedule
from duetime_core.postgres import namespaced
from duetime_core.store.schedules import columns

_LOCK = namespaced.text(f"""
SELECT {columns.COLUMNS} FROM schedules
WHERE schedule_id = :id AND namespace_id = :namespace_id AND deleted_at IS NULL FOR UPDATE
""")


async def lock(connection: sqlalchemy_asyncio.AsyncConnection, schedule_id: int) -> schedule.Schedule:
    """Returns the schedule, locked until the transaction ends. Raises ScheduleNotFound."""
    row = (await connection.execute(_LOCK, {"id": schedule_id})).one_or_none()
    if row is None:
        raise errors.ScheduleNotFound.of(schedule_id)
    return columns.read_schedule(row)
