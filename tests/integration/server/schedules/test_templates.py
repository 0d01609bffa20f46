"""Schedules' templates are validated for their handlers, and get their retries."""

import datetime
from typing import Any

import pytest

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_core.model import builtin, errors, task
from duetime_server.schedules import templates
from duetime_server.tasks import handler_catalog

NOW = datetime.datetime.now(datetime.UTC)


def request(task_data: dict[str, Any], **template: Any) -> schedule_service_pb2.CreateScheduleRequest:
    made = schedule_pb2.TaskTemplate(name="Send Email", **template)
    made.task_data.update(task_data)
    return schedule_service_pb2.CreateScheduleRequest(name="news", cron="0 3 * * *", task=made)


async def test_a_template_without_retries_gets_its_handlers_and_keeps_what_was_requested(
    catalog: handler_catalog.HandlerCatalog,
) -> None:
    new = await templates.new_schedule(catalog, request({"email": "ada@example.com"}), NOW)
    retries = builtin.SPECS["Send Email"].retries
    assert (new.template.max_retries, new.template.retry_policy) == (retries.max_retries, retries.retry_policy)
    assert new.requested_retries == task.Retries()


async def test_a_template_keeps_the_retries_that_it_sets(catalog: handler_catalog.HandlerCatalog) -> None:
    new = await templates.new_schedule(catalog, request({"email": "ada@example.com"}, max_retries=1), NOW)
    assert new.template.max_retries == 1


async def test_a_template_that_its_handler_would_refuse_is_refused(catalog: handler_catalog.HandlerCatalog) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^task\.task_data\.email: is required"):
        await templates.new_schedule(catalog, request({}), NOW)
