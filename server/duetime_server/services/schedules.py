"""ScheduleService: each rpc reads its request, calls the store and writes its response."""

import dataclasses
import datetime
import functools
import itertools

from duetime.v1 import schedule_pb2, schedule_service_pb2, schedule_service_pb2_grpc
from duetime_core.model import errors, recurrence
from duetime_core.model.recurrence.spec import ZERO
from duetime_core.postgres import clock, confirmation
from duetime_core.process import threads
from duetime_core.redis import doorbell
from duetime_core.store.schedules import backfill as schedule_backfill
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import log as schedule_log
from duetime_core.store.schedules import page as schedule_page
from duetime_core.store.schedules import recompute as schedule_recompute
from duetime_core.store.schedules import trigger as schedule_trigger
from duetime_core.store.tasks import relocate
from duetime_server import access
from duetime_server.access import limits
from duetime_server.rpc import errors as rpc_errors
from duetime_server.rpc import fields, offload, pools, tokens, violations
from duetime_server.schedules import messages as schedule_messages
from duetime_server.schedules import permissions, templates
from duetime_server.schedules import requests as schedule_requests
from duetime_server.tasks import handler_catalog

_RECOMPUTE_SECONDS = 5.0


class ScheduleService(schedule_service_pb2_grpc.ScheduleServiceServicer):
    """The servicer. `rpc.errors` turns errors into statuses."""

    def __init__(
        self,
        connections: pools.Pools,
        bell: doorbell.Doorbell,
        catalog: handler_catalog.HandlerCatalog,
        offloader: offload.Offload,
    ) -> None:
        self._pools = connections
        self._bell = bell
        self._catalog = catalog
        self._offloader = offloader

    async def CreateSchedule(
        self, request: schedule_service_pb2.CreateScheduleRequest, _: rpc_errors.Context
    ) -> schedule_pb2.Schedule:
        """Creates a schedule with its first occurrence."""
        new = await templates.new_schedule(self._catalog, request, await clock.now(self._pools.control))
        return await self._respond(await schedule_edit.create(self._pools.control, new, actor=access.actor()))

    async def GetSchedule(
        self, request: schedule_service_pb2.GetScheduleRequest, _: rpc_errors.Context
    ) -> schedule_pb2.Schedule:
        """Reads a schedule."""
        find = functools.partial(
            schedule_edit.get, self._pools.control, schedule_requests.schedule_id(request.schedule_id)
        )
        return await self._offloader.find(schedule_messages.from_schedule, find)

    async def ListSchedules(
        self, request: schedule_service_pb2.ListSchedulesRequest, _: rpc_errors.Context
    ) -> schedule_service_pb2.ListSchedulesResponse:
        """Reads a page of schedules."""
        wanted, size = schedule_requests.schedule_filter(request), fields.page_size(request.page_size)
        scope = ("ListSchedules", *tokens.filters(wanted))
        after = tokens.number(request.page_token, scope)
        page = await schedule_page.list_schedules(self._pools.reads, wanted, after=after, limit=size)
        response = schedule_service_pb2.ListSchedulesResponse()
        if page.following is not None:
            response.next_page_token = tokens.encode(scope, page.following)
        response.schedules.extend(await self._offloader.write_all(schedule_messages.from_schedule, page.schedules))
        return response

    async def UpdateSchedule(
        self, request: schedule_service_pb2.UpdateScheduleRequest, _: rpc_errors.Context
    ) -> schedule_pb2.Schedule:
        """Changes a schedule, and moves its pending occurrence."""
        schedule_id = schedule_requests.schedule_id(request.schedule_id)
        while True:
            # A rule is checked as a whole, with the present fields; the version makes sure that they still are.
            present = await schedule_edit.get(self._pools.control, schedule_id)
            permissions.check_template(present.template)
            now = await clock.now(self._pools.control)
            changes = await threads.run(schedule_requests.changes, request, present, now)
            if "template" in changes:
                permissions.check_template(changes["template"])
                changes["template"] = await templates.validated(self._catalog, changes["template"], request.task)
            version = request.version if request.HasField("version") else present.version
            try:
                return await self._respond(
                    await schedule_edit.update(
                        self._pools.control, schedule_id, changes, version=version, actor=access.actor()
                    )
                )
            except errors.VersionMismatch:
                if request.HasField("version"):
                    raise

    async def DeleteSchedule(
        self, request: schedule_service_pb2.DeleteScheduleRequest, _: rpc_errors.Context
    ) -> schedule_service_pb2.DeleteScheduleResponse:
        """Deletes a schedule and its pending occurrence."""
        schedule_id = schedule_requests.schedule_id(request.schedule_id)
        await permissions.check(self._pools.control, schedule_id)
        self._bell.announce(await schedule_edit.delete(self._pools.control, schedule_id, actor=access.actor()))
        return schedule_service_pb2.DeleteScheduleResponse(message="Schedule deleted successfully")

    async def PauseSchedule(
        self, request: schedule_service_pb2.PauseScheduleRequest, _: rpc_errors.Context
    ) -> schedule_pb2.Schedule:
        """Pauses a schedule: its pending occurrence is deleted."""
        schedule_id = schedule_requests.schedule_id(request.schedule_id)
        await permissions.check(self._pools.control, schedule_id)
        return await self._respond(await schedule_edit.pause(self._pools.control, schedule_id, actor=access.actor()))

    async def ResumeSchedule(
        self, request: schedule_service_pb2.ResumeScheduleRequest, _: rpc_errors.Context
    ) -> schedule_pb2.Schedule:
        """Resumes a schedule from now on."""
        schedule_id = schedule_requests.schedule_id(request.schedule_id)
        await permissions.check(self._pools.control, schedule_id)
        return await self._respond(await schedule_edit.resume(self._pools.control, schedule_id, actor=access.actor()))

    async def TriggerSchedule(
        self, request: schedule_service_pb2.TriggerScheduleRequest, _: rpc_errors.Context
    ) -> schedule_service_pb2.TriggerScheduleResponse:
        """Creates a task of a schedule that is due now."""
        schedule_id, problems = schedule_requests.schedule_id(request.schedule_id), violations.Violations()
        request_id = fields.request_id(request.request_id, problems)
        problems.check()
        await permissions.check(self._pools.control, schedule_id)
        placed = await schedule_trigger.trigger(
            self._pools.control, schedule_id, request_id=request_id, actor=access.actor()
        )
        if isinstance(placed, int):
            return schedule_service_pb2.TriggerScheduleResponse(task_id=placed)
        self._bell.announce([placed])
        return schedule_service_pb2.TriggerScheduleResponse(task_id=placed.task_id)

    async def BackfillSchedule(
        self, request: schedule_service_pb2.BackfillScheduleRequest, _: rpc_errors.Context
    ) -> schedule_service_pb2.BackfillScheduleResponse:
        """Creates the missing tasks of a past interval."""
        schedule_id = schedule_requests.schedule_id(request.schedule_id)
        await permissions.check(self._pools.control, schedule_id)
        start, end = schedule_requests.backfilled(request, await clock.now(self._pools.reads))
        try:
            placed = await schedule_backfill.backfill(
                self._pools.reads, schedule_id, start_time=start, end_time=end, actor=access.actor()
            )
        except schedule_backfill.TooManyOccurrencesError:
            raise schedule_requests.too_many() from None
        except recurrence.TooManyStepsError as error:
            raise violations.refuse(
                "end_time", f"ends an interval that is too long to search: {error}; split it"
            ) from None
        access.charge(len(placed))
        self._bell.announce(placed)
        return schedule_service_pb2.BackfillScheduleResponse(task_ids=[each.task_id for each in placed])

    async def PreviewSchedule(
        self, request: schedule_service_pb2.PreviewScheduleRequest, _: rpc_errors.Context
    ) -> schedule_service_pb2.PreviewScheduleResponse:
        """Returns the next times of a rule."""
        return await threads.run(_preview, request, datetime.datetime.now(datetime.UTC))

    async def ListScheduleLogs(
        self, request: schedule_service_pb2.ListScheduleLogsRequest, _: rpc_errors.Context
    ) -> schedule_service_pb2.ListScheduleLogsResponse:
        """Reads a page of a schedule's history."""
        schedule_id, size = (
            schedule_requests.schedule_id(request.schedule_id),
            fields.page_size(request.page_size),
        )
        scope = ("ListScheduleLogs", schedule_id)
        logs = await schedule_log.list_logs(
            self._pools.reads, schedule_id, after=tokens.number(request.page_token, scope), limit=size + 1
        )
        return schedule_service_pb2.ListScheduleLogsResponse(
            logs=[schedule_messages.from_log(each) for each in logs[:size]],
            next_page_token=tokens.following(scope, [each.log_id for each in logs], size),
        )

    async def RecomputeSchedules(
        self, request: schedule_service_pb2.RecomputeSchedulesRequest, _: rpc_errors.Context
    ) -> schedule_service_pb2.RecomputeSchedulesResponse:
        """Moves the tasks whose times changed with the time zone database."""
        limits.require_none("recompute schedules")
        scope = ("RecomputeSchedules",)
        position = schedule_requests.recompute_position(request, scope)
        placed, has_more = await schedule_recompute.recompute(
            self._pools.reads, seconds=_RECOMPUTE_SECONDS / 2, actor=access.actor()
        )
        moved, position, has_more_tasks = await relocate.recompute(
            self._pools.reads, position, seconds=_RECOMPUTE_SECONDS / 2, actor=access.actor()
        )
        has_more = has_more or has_more_tasks
        self._bell.announce([*placed, *moved])
        await confirmation.wait(self._pools.reads)  # that nothing is left to move, too
        return schedule_service_pb2.RecomputeSchedulesResponse(
            schedules=len(placed),
            tasks=len(moved),
            has_more=has_more,
            time_zone_version=recurrence.version(),
            next_page_token=tokens.encode(scope, position) if has_more else "",
        )

    async def _respond(self, changed: schedule_edit.Changed) -> schedule_pb2.Schedule:
        self._bell.announce(changed.tasks)
        return await self._offloader.write(schedule_messages.from_schedule, changed.schedule)


def _preview(
    request: schedule_service_pb2.PreviewScheduleRequest, now: datetime.datetime
) -> schedule_service_pb2.PreviewScheduleResponse:
    spec, count = schedule_requests.preview(request, now)
    # Without jitter, which depends on the schedule's id.
    plain = dataclasses.replace(spec, jitter=ZERO)
    try:
        found = list(itertools.islice(recurrence.occurrences(plain, now), count))
    except recurrence.TooManyStepsError as error:
        raise violations.refuse("count", f"must be less for a rule with so few occurrences: {error}") from None
    return schedule_messages.previewed(spec, found)
