"""Updates a task, and validates the result for its handler."""

import datetime
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import errors, task
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import read as task_read
from duetime_server import access
from duetime_server.access import limits
from duetime_server.rpc import fields, offload
from duetime_server.tasks import handler_validation, requests, retries
from duetime_server.tasks.handler_catalog import HandlerCatalog

_HANDLER_FIELDS = frozenset({"name", "task_data", "timeout", "max_retries", "retry_policy"})


async def update(
    engine: sqlalchemy_asyncio.AsyncEngine,
    catalog: HandlerCatalog,
    offloader: offload.Offload,
    request: task_service_pb2.UpdateTaskRequest,
) -> tuple[task.Task, datetime.datetime]:
    """Changes a pending task, and returns it with the database's time.

    Raises InvalidArgument, PermissionDenied, TaskNotFound, TaskNotPending or VersionMismatch.
    """
    task_id, changes = fields.task_id(request.task_id), await offloader.read(requests.changes, request)
    version = request.version if request.HasField("version") else None
    concerns_handler = bool(changes.keys() & _HANDLER_FIELDS)
    if not concerns_handler and not limits.are_any():
        return await task_edit.update(engine, task_id, changes, version=version, actor=access.actor())
    while True:
        # The result depends on the task as it is now, and the version makes sure that it still is.
        present = await task_read.get(engine, task_id)
        limits.check(handler=present.name, queue=present.queue)
        limits.check(handler=changes.get("name", present.name), queue=changes.get("queue", present.queue))
        validated = await _validated(catalog, request, changes, present) if concerns_handler else changes
        read_version = present.version if version is None else version
        try:
            return await task_edit.update(engine, task_id, validated, version=read_version, actor=access.actor())
        except errors.VersionMismatch:
            if version is not None:
                raise


async def _validated(
    catalog: HandlerCatalog, request: task_service_pb2.UpdateTaskRequest, changes: dict[str, Any], present: task.Task
) -> dict[str, Any]:
    name = changes.get("name", present.name)
    changes_data = bool(changes.keys() & {"name", "task_data"})
    given = handler_validation.HandlerInput(
        name,
        changes.get("task_data", present.task_data) if changes_data else None,
        changes.get("timeout"),
        is_name_given="name" in changes,
    )
    await handler_validation.check(catalog, [given])
    completed = retries.read(request, catalog.retries(name))
    return {
        field: getattr(completed, field) if field in ("max_retries", "retry_policy") else value
        for field, value in changes.items()
    }
