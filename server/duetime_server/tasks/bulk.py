"""Changes all tasks that match a filter, within the time of a call."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import task
from duetime_core.model.access import Role
from duetime_core.postgres import confirmation
from duetime_core.redis import doorbell
from duetime_core.store.tasks import bulk_edit
from duetime_core.store.tasks import page as task_page
from duetime_core.store.tasks import read as task_read
from duetime_server import access
from duetime_server.access import limits
from duetime_server.rpc import fields, violations
from duetime_server.tasks import filters

SECONDS = 5.0
"""How long one call works, so that it returns before its caller's deadline."""

Request = (
    task_service_pb2.CancelTasksRequest
    | task_service_pb2.RetryTasksRequest
    | task_service_pb2.DeleteTasksRequest
    | task_service_pb2.MoveTasksRequest
)


async def change(
    engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell, what: task.Change, request: Request
) -> task_service_pb2.ChangedTasks:
    """Changes the tasks that a request's filter matches. Raises InvalidArgument, PermissionDenied."""
    changes = _moves(request) if isinstance(request, task_service_pb2.MoveTasksRequest) else None
    wanted = _filter(what, request)
    limits.check_filter(handler=wanted.name, queue=wanted.queue)
    await task_read.require_few_names(engine, wanted, order="execution_time", field="filter.name_prefix")
    progress = bulk_edit.Progress()
    batches = bulk_edit.change(
        engine, what, wanted, changes=changes, progress=progress, seconds=SECONDS, actor=access.actor()
    )
    async for edited in batches:
        if what is task.Change.CANCELLED:
            bell.cancelled(each.task_id for each in edited)
        bell.announce(edited)
    # Tasks that an unanswered call before changed match no more: that they were changed is the answer, too.
    await confirmation.wait(engine)
    return task_service_pb2.ChangedTasks(count=progress.count, has_more=progress.has_more)


def _filter(what: task.Change, request: Request) -> task_page.Filter:
    wanted = filters.task_filter(request.filter, prefix="filter.")
    if wanted == task_page.Filter() and not request.all:
        raise violations.refuse("filter", "is required: which tasks to change; to change all of them, set `all`")
    allowed = task.MOVES[what].sources
    statuses = tuple(status for status in wanted.statuses or sorted(allowed) if status in allowed)
    if not statuses:
        raise violations.refuse(
            "filter.status", f"has none that allows this change; must be one of {', '.join(sorted(allowed))}"
        )
    return dataclasses.replace(wanted, statuses=statuses)


def _moves(request: task_service_pb2.MoveTasksRequest) -> Mapping[str, Any]:
    problems = violations.Violations()
    changes: dict[str, Any] = {}
    if request.HasField("execution_time"):
        changes["execution_time"] = fields.moment(request.execution_time, "execution_time", problems)
    if request.queue:
        changes["queue"] = fields.queue(request.queue, problems)
    problems.check()
    if "queue" in changes:
        limits.require_role(Role.EDITOR, "move tasks to another queue")
        limits.check_queue(changes["queue"])
    if not changes:
        raise violations.refuse("execution_time", "or queue is required: where to move the tasks")
    return changes
