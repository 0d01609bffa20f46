"""The client's methods for schedules."""

from __future__ import annotations

import builtins
import datetime
from collections.abc import AsyncIterator
from typing import Unpack

from duetime.v1 import schedule_service_pb2
from duetime_client import request, scalar, schedule, schedule_messages
from duetime_client._async import connection

_PAGE_SIZE = 100
_LOG_PAGE_SIZE = 1_000


class AsyncSchedules(connection.AsyncConnection):
    """The methods for schedules."""

    async def create_schedule(
        self,
        name: str,
        task: schedule.TaskTemplate | str,
        *,
        paused: bool = False,
        request_id: str | None = None,
        **rule: Unpack[schedule.Policies],
    ) -> schedule.Schedule:
        """Creates a schedule and returns it, with its next occurrence. `task` may be just the name of a handler.

        `rule` has either `cron` or `interval`, and the other members of `schedule.Policies`. Fails with RequestIdReused
        or RequestIdOfDeletedSchedule.
        """
        message = schedule_service_pb2.CreateScheduleRequest()
        scalar.filled(message, paused=paused, request_id=request_id or request.new_request_id())
        schedule_messages.assigned(message, {"name": name, "task": task, **rule})
        if message.HasField("task"):
            self._payloads.sealed(message.task, "task.", request_id=message.request_id)
        created = await self._call(self._open().schedules.CreateSchedule, message)
        return self._payloads.schedule(created, is_lenient=True)

    async def get_schedule(self, schedule_id: int) -> schedule.Schedule:
        """Returns a schedule. Fails with ScheduleNotFound, also when it was deleted."""
        message = schedule_service_pb2.GetScheduleRequest(schedule_id=schedule_messages.checked_id(schedule_id))
        return self._payloads.schedule(await self._call(self._open().schedules.GetSchedule, message))

    async def list_schedules(
        self, *, name: str | None = None, queue: str | None = None, paused: bool | None = None
    ) -> AsyncIterator[schedule.Schedule]:
        """Iterates over the schedules that match all filters, in the order of their ids; reads a page at a time, as
        needed. `queue` is that of their tasks.
        """
        message = schedule_service_pb2.ListSchedulesRequest(page_size=_PAGE_SIZE)
        request.filtered(message, {"name": name, "queue": queue, "paused": paused})
        while True:
            page = await self._call(self._open().schedules.ListSchedules, message)
            for member in page.schedules:
                yield self._payloads.schedule(member)
            if not page.next_page_token:
                return
            message.page_token = page.next_page_token

    async def update_schedule(
        self, schedule_id: int, *, version: int | None = None, **changes: Unpack[schedule.Changes]
    ) -> schedule.Schedule:
        """Changes the given fields of a schedule and returns it; None resets a field to its default.

        Its pending occurrence moves. Fails with ScheduleNotFound, or VersionMismatch if `version` is given and is not
        current. After Unavailable or DeadlineExceeded the outcome is unknown: the change may have been committed.
        """
        message = schedule_messages.update(schedule_id, changes, version)
        if message.HasField("task"):
            self._payloads.sealed(message.task, "task.")
        updated = await self._call(self._open().schedules.UpdateSchedule, message)
        return self._payloads.schedule(updated, is_lenient=True)

    async def delete_schedule(self, schedule_id: int) -> None:
        """Deletes a schedule and its pending occurrence; running tasks continue. Fails with ScheduleNotFound."""
        message = schedule_service_pb2.DeleteScheduleRequest(schedule_id=schedule_messages.checked_id(schedule_id))
        await self._call(self._open().schedules.DeleteSchedule, message)

    async def pause_schedule(self, schedule_id: int) -> schedule.Schedule:
        """Pauses a schedule and returns it: it has no pending occurrence until it is resumed. Fails with
        ScheduleNotFound.
        """
        message = schedule_service_pb2.PauseScheduleRequest(schedule_id=schedule_messages.checked_id(schedule_id))
        changed = await self._call(self._open().schedules.PauseSchedule, message)
        return self._payloads.schedule(changed, is_lenient=True)

    async def resume_schedule(self, schedule_id: int) -> schedule.Schedule:
        """Resumes a schedule from now on and returns it. Fails with ScheduleNotFound."""
        message = schedule_service_pb2.ResumeScheduleRequest(schedule_id=schedule_messages.checked_id(schedule_id))
        changed = await self._call(self._open().schedules.ResumeSchedule, message)
        return self._payloads.schedule(changed, is_lenient=True)

    async def trigger_schedule(self, schedule_id: int, *, request_id: str | None = None) -> int:
        """Creates a task of a schedule, due now, in addition to its occurrences, and returns its task_id.

        Fails with ScheduleNotFound, or with RequestIdTaken as create does.
        """
        message = schedule_service_pb2.TriggerScheduleRequest(schedule_id=schedule_messages.checked_id(schedule_id))
        scalar.filled(message, request_id=request_id or request.new_request_id())
        answer = await self._call(self._open().schedules.TriggerSchedule, message)
        return answer.task_id

    async def backfill_schedule(
        self, schedule_id: int, start_time: datetime.datetime, end_time: datetime.datetime
    ) -> builtins.list[int]:
        """Creates a task, due now, for each nominal time in a past interval that has none, and returns their task_ids.

        Idempotent. Fails with ScheduleNotFound, or InvalidArgument for more than 1,000 tasks.
        """
        message = schedule_service_pb2.BackfillScheduleRequest(schedule_id=schedule_messages.checked_id(schedule_id))
        schedule_messages.assigned(message, {"start_time": start_time, "end_time": end_time})
        answer = await self._call(self._open().schedules.BackfillSchedule, message)
        return builtins.list(answer.task_ids)

    async def preview_schedule(
        self, *, count: int = 10, **rule: Unpack[schedule.Rule]
    ) -> builtins.list[schedule.PreviewedTime]:
        """Returns the next times of a rule, without saving anything."""
        message = schedule_service_pb2.PreviewScheduleRequest()
        schedule_messages.assigned(message, {"count": count, **rule})
        answer = await self._call(self._open().schedules.PreviewSchedule, message)
        return [schedule_messages.to_previewed(member) for member in answer.details]

    async def schedule_logs(self, schedule_id: int) -> AsyncIterator[schedule.ScheduleLog]:
        """Iterates over a schedule's history, oldest first, even if it was deleted. Fails with ScheduleNotFound."""
        message = schedule_service_pb2.ListScheduleLogsRequest(
            schedule_id=schedule_messages.checked_id(schedule_id), page_size=_LOG_PAGE_SIZE
        )
        while True:
            page = await self._call(self._open().schedules.ListScheduleLogs, message)
            for line in page.logs:
                yield schedule_messages.to_log(line)
            if not page.next_page_token:
                return
            message.page_token = page.next_page_token

    async def recompute_schedules(self) -> schedule.Recomputed:
        """Moves times that were computed with another time zone database, and returns how many. Idempotent."""
        schedules = tasks = 0
        message = schedule_service_pb2.RecomputeSchedulesRequest()
        while True:
            answer = await self._call(self._open().schedules.RecomputeSchedules, message)
            schedules, tasks = schedules + answer.schedules, tasks + answer.tasks
            if not answer.has_more:
                return schedule.Recomputed(schedules, tasks, answer.time_zone_version)
            message.page_token = answer.next_page_token
