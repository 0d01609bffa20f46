"""Updating a task: what the change makes of it must fit its handler."""

import datetime
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import errors, task
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import read as task_read
from duetime_server.rpc import actor, fields, offload
from duetime_server.tasks import handler_validation, requests
from duetime_server.tasks.handler_catalog import HandlerCatalog

_OF_THE_HANDLER = frozenset({"name", "task_data", "timeout", "max_retries", "retry_policy"})


async def update(
    engine: sqlalchemy_asyncio.AsyncEngine,
    catalog: HandlerCatalog,
    offloader: offload.Offload,
    request: task_service_pb2.UpdateTaskRequest,
) -> tuple[task.Task, datetime.datetime]:
    """Changes a pending task, and returns it with the database's time.

    Raises InvalidArgument, TaskNotFound, TaskNotPending or VersionMismatch.
    """
    task_id, changes = fields.task_id(request.task_id), await offloader.read(requests.changes, request)
    version = request.version if request.HasField("version") else None
    if not changes.keys() & _OF_THE_HANDLER:
        return await task_edit.update(engine, task_id, changes, version=version, actor=actor.CALLER)
    while True:
        # Whether it fits depends on what the task has now, and the version holds it to that.
        present = await task_read.get(engine, task_id)
        fitted = await _fitted(catalog, request, changes, present)
        held = present.version if version is None else version
        try:
            return await task_edit.update(engine, task_id, fitted, version=held, actor=actor.CALLER)
        except errors.VersionMismatch:
            if version is not None:
                raise


async def _fitted(
    catalog: HandlerCatalog, request: task_service_pb2.UpdateTaskRequest, changes: dict[str, Any], present: task.Task
) -> dict[str, Any]:
    name = changes.get("name", present.name)
    is_about_data = bool(changes.keys() & {"name", "task_data"})
    given = handler_validation.Given(
        name,
        changes.get("task_data", present.task_data) if is_about_data else None,
        changes.get("timeout"),
        is_named="name" in changes,
    )
    await handler_validation.check(catalog, [given])
    retries = handler_validation.given_retries(request, catalog.retries(name))
    return {
        field: getattr(retries, field) if field in ("max_retries", "retry_policy") else value
        for field, value in changes.items()
    }
