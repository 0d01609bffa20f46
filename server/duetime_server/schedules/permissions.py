"""Whether the caller may change a schedule, from what the schedule is now."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import schedule
from duetime_core.store.schedules import edit as schedule_edit
from duetime_server.access import limits


async def check(engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int) -> None:
    """Raises PermissionDenied for a schedule whose tasks are beyond the caller's limits.

    A change of the schedule by another caller at the same moment is not seen.
    """
    if limits.are_any():
        check_template((await schedule_edit.get(engine, schedule_id)).template)


def check_template(template: schedule.Template) -> None:
    """Raises PermissionDenied if the caller may not create tasks from the template."""
    limits.check(handler=template.name, queue=template.queue)
