"""Validates schedules' templates for their handlers, and completes their retries."""

import dataclasses
import datetime

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_core.model import schedule, task
from duetime_core.process import threads
from duetime_server.schedules import permissions, requests
from duetime_server.tasks import handler_catalog, handler_validation, retries


async def new_schedule(
    catalog: handler_catalog.HandlerCatalog,
    request: schedule_service_pb2.CreateScheduleRequest,
    now: datetime.datetime,
) -> schedule.NewSchedule:
    """Reads a new schedule and validates its template for its handler. Raises InvalidArgument, PermissionDenied."""
    new = await threads.run(requests.new_schedule, request, now)
    permissions.check_template(new.template)
    requested = task.Retries(new.template.max_retries, new.template.retry_policy)
    template = await validated(catalog, new.template, request.task)
    return dataclasses.replace(new, template=template, requested_retries=requested)


async def validated(
    catalog: handler_catalog.HandlerCatalog, read: schedule.Template, request: schedule_pb2.TaskTemplate
) -> schedule.Template:
    """Validates a template for its handler, and returns it with its retries. Raises InvalidArgument."""
    given = handler_validation.HandlerInput(read.name, read.task_data, read.timeout, path="task.")
    await handler_validation.check(catalog, [given])
    completed = retries.read(request, catalog.retries(read.name))
    return dataclasses.replace(read, max_retries=completed.max_retries, retry_policy=completed.retry_policy)
