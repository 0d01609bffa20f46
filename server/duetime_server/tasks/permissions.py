"""Whether the caller may change a task, from what the task is now."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.model.access import Role
from duetime_core.store.tasks import read as task_read
from duetime_server import access
from duetime_server.access import limits


async def check(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> None:
    """Raises PermissionDenied for a task beyond the caller's limits, TaskNotFound for one a submitter did not create.

    A change of the task by another caller at the same moment is not seen.
    """
    await check_creator(engine, task_id)
    if limits.are_any():
        present = await task_read.get(engine, task_id)
        limits.check(handler=present.name, queue=present.queue)


async def check_creator(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> None:
    """Raises TaskNotFound if the caller is a submitter who did not create the task: as if it did not exist."""
    caller = access.current()
    if caller is None or caller.role is not Role.SUBMITTER:
        return
    if await task_read.creator(engine, task_id) != caller.actor:
        raise errors.TaskNotFound.of(task_id)
