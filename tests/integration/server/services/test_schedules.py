"""ScheduleService, called without gRPC."""

import datetime
from typing import Any

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import schedule_pb2, schedule_service_pb2
from duetime_core.model import errors
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import read as task_read
from duetime_core.store.tasks import relocate
from duetime_server.services import schedules
from tests.support import factories, rows

CONTEXT: Any = None


async def create(service: schedules.ScheduleService, name: str = "nightly") -> schedule_pb2.Schedule:
    template = schedule_pb2.TaskTemplate(name="noop")
    request = schedule_service_pb2.CreateScheduleRequest(name=name, cron="0 3 * * *", task=template)
    return await service.CreateSchedule(request, CONTEXT)


async def test_a_schedule_is_paused_resumed_triggered_and_deleted(schedule_service: schedules.ScheduleService) -> None:
    created = await create(schedule_service)
    by_id: Any = {"schedule_id": created.schedule_id}
    assert created.next_task_id
    paused = await schedule_service.PauseSchedule(schedule_service_pb2.PauseScheduleRequest(**by_id), CONTEXT)
    assert (paused.paused, paused.next_task_id) == (True, 0)
    resumed = await schedule_service.ResumeSchedule(schedule_service_pb2.ResumeScheduleRequest(**by_id), CONTEXT)
    assert resumed.next_task_id
    request = schedule_service_pb2.TriggerScheduleRequest(**by_id, request_id="r")
    triggered = await schedule_service.TriggerSchedule(request, CONTEXT)
    assert (await schedule_service.TriggerSchedule(request, CONTEXT)).task_id == triggered.task_id
    await schedule_service.DeleteSchedule(schedule_service_pb2.DeleteScheduleRequest(**by_id), CONTEXT)
    with pytest.raises(errors.ScheduleNotFound):
        await schedule_service.GetSchedule(schedule_service_pb2.GetScheduleRequest(**by_id), CONTEXT)


async def test_an_update_with_a_stale_version_is_refused(schedule_service: schedules.ScheduleService) -> None:
    created = await create(schedule_service)
    request = schedule_service_pb2.UpdateScheduleRequest(
        schedule_id=created.schedule_id, version=created.version, name="new"
    )
    assert (await schedule_service.UpdateSchedule(request, CONTEXT)).name == "new"
    with pytest.raises(errors.VersionMismatch):
        await schedule_service.UpdateSchedule(request, CONTEXT)


async def test_a_preview_needs_no_schedule_and_a_list_has_pages(schedule_service: schedules.ScheduleService) -> None:
    request = schedule_service_pb2.PreviewScheduleRequest(cron="0 3 * * *", count=3)
    assert len((await schedule_service.PreviewSchedule(request, CONTEXT)).times) == 3
    for name in ("a", "b"):
        await create(schedule_service, name)
    page = await schedule_service.ListSchedules(schedule_service_pb2.ListSchedulesRequest(page_size=1), CONTEXT)
    assert [each.name for each in page.schedules] == ["a"]
    following = schedule_service_pb2.ListSchedulesRequest(page_size=1, page_token=page.next_page_token)
    assert [each.name for each in (await schedule_service.ListSchedules(following, CONTEXT)).schedules] == ["b"]


async def test_recomputing_more_tasks_than_a_call_has_time_for_ends_and_reads_each_once(
    schedule_service: schedules.ScheduleService,
    engine: sqlalchemy_asyncio.AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    due = datetime.datetime(2030, 7, 1, 8, tzinfo=datetime.UTC)
    nine = datetime.datetime(2030, 7, 1, 9)  # noqa: DTZ001 - local times are naive
    new = factories.new_task(execution_time=due, local_time=nine, time_zone="Europe/Lisbon")
    created = await task_create.create_all(engine, [new] * 5, actor="api")
    last = created[-1].task_id
    # As if another version of the time zone database had resolved it.
    await rows.change(engine, "execution_time = execution_time + interval '1 hour'", last)
    monkeypatch.setattr(schedules, "_RECOMPUTE_SECONDS", 0.0)  # each call has time for one page
    monkeypatch.setattr(relocate, "_AT_ONCE", 2)
    request, counts = schedule_service_pb2.RecomputeSchedulesRequest(), []
    for _ in range(3):
        answer = await schedule_service.RecomputeSchedules(request, CONTEXT)
        counts.append(answer.tasks)
        request.page_token = answer.next_page_token
    assert (counts, answer.has_more, answer.next_page_token) == ([0, 0, 1], False, "")
    assert (await task_read.get(engine, last)).execution_time == due
