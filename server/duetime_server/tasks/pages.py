"""The lists of tasks and of their logs, one page a call."""

import contextlib
import datetime

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.store.tasks import read as task_read
from duetime_server.rpc import fields, offload, tokens, violations
from duetime_server.tasks import filters, messages


async def list_tasks(
    engine: sqlalchemy_asyncio.AsyncEngine, offloader: offload.Offload, request: task_service_pb2.ListTasksRequest
) -> task_service_pb2.ListTasksResponse:
    """Reads a page of tasks. Raises InvalidArgument."""
    wanted, order = filters.task_filter(request), filters.order(request.order_by)
    size = fields.page_size(request.page_size)
    scope = ("ListTasks", *tokens.filters(wanted), order)
    after = _after(tokens.decode("page_token", request.page_token, scope)) if request.page_token else None
    await task_read.require_few_names(engine, wanted, order=order, field="name_prefix")
    page = await task_read.list_tasks(engine, wanted, order=order, after=after, limit=size)
    response = task_service_pb2.ListTasksResponse()
    if not page.is_last:
        last = page.tasks[-1]
        response.next_page_token = tokens.encode(scope, [last.execution_time.isoformat(), last.task_id])
    response.tasks.extend(await offloader.write_all(messages.from_task, page.tasks))
    return response


def _after(value: object) -> tuple[datetime.datetime, int]:
    match value:
        case [str(text), int(task_id)] if not isinstance(task_id, bool):
            with contextlib.suppress(ValueError):
                execution_time = datetime.datetime.fromisoformat(text)
                if execution_time.tzinfo is not None:
                    return execution_time, task_id
    raise violations.refuse("page_token", tokens.UNKNOWN)


async def list_logs(
    engine: sqlalchemy_asyncio.AsyncEngine, request: task_service_pb2.ListTaskLogsRequest
) -> task_service_pb2.ListTaskLogsResponse:
    """Reads a page of a task's history. Raises TaskNotFound or InvalidArgument."""
    task_id, size = fields.task_id(request.task_id), fields.page_size(request.page_size)
    scope = ("ListTaskLogs", task_id)
    after = tokens.number(request.page_token, scope)
    logs = await task_read.list_logs(engine, task_id, after_version=after, limit=size + 1)
    return task_service_pb2.ListTaskLogsResponse(
        logs=[messages.from_log(each) for each in logs[:size]],
        next_page_token=tokens.following(scope, [each.version for each in logs], size),
    )
