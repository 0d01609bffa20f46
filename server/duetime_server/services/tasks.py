"""TaskService: each rpc reads its request, calls the store and writes its response."""

import functools

from duetime.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc
from duetime_core.model import explanation, task
from duetime_core.redis import doorbell
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import explain as task_explain
from duetime_core.store.tasks import read as task_read
from duetime_server import access
from duetime_server.rpc import errors as rpc_errors
from duetime_server.rpc import fields, offload, pools
from duetime_server.tasks import bulk, creator, handler_catalog, handler_validation, pages, permissions, update
from duetime_server.tasks import messages as task_messages
from duetime_server.watch import cursors, hub, streams


class TaskService(task_service_pb2_grpc.TaskServiceServicer):
    """The servicer. `rpc.errors` turns errors into statuses."""

    def __init__(
        self,
        connections: pools.Pools,
        bell: doorbell.Doorbell,
        task_creator: creator.Creator,
        watch_hub: hub.Hub,
        catalog: handler_catalog.HandlerCatalog,
        offloader: offload.Offload,
    ) -> None:
        self._pools = connections
        self._bell = bell
        self._creator = task_creator
        self._hub = watch_hub
        self._catalog = catalog
        self._offloader = offloader

    async def CreateTask(
        self, request: task_service_pb2.CreateTaskRequest, _: rpc_errors.Context
    ) -> task_service_pb2.CreateTaskResponse:
        """Creates one task, sharing a commit with others."""
        new = await handler_validation.new_task(self._catalog, self._offloader, request)
        created = await self._creator.create(new, size=offload.request_bytes.get())
        return task_service_pb2.CreateTaskResponse(task_id=created.task_id)

    async def BatchCreateTasks(
        self, request: task_service_pb2.BatchCreateTasksRequest, _: rpc_errors.Context
    ) -> task_service_pb2.BatchCreateTasksResponse:
        """Creates all tasks of a batch, or none."""
        access.charge(len(request.requests))
        created = await self._creator.create_all(
            await handler_validation.new_tasks(self._catalog, self._offloader, request)
        )
        return task_service_pb2.BatchCreateTasksResponse(task_ids=[each.task_id for each in created])

    async def GetTask(self, request: task_service_pb2.GetTaskRequest, _: rpc_errors.Context) -> task_pb2.Task:
        """Reads a task."""
        find = functools.partial(task_read.get, self._pools.control, fields.task_id(request.task_id))
        return await self._offloader.find(task_messages.from_task, find)

    async def GetTaskStatus(
        self, request: task_service_pb2.GetTaskStatusRequest, _: rpc_errors.Context
    ) -> task_service_pb2.GetTaskStatusResponse:
        """Reads a task's status."""
        task_id = fields.task_id(request.task_id)
        await permissions.check_creator(self._pools.control, task_id)
        status = await task_read.get_status(self._pools.control, task_id)
        return task_service_pb2.GetTaskStatusResponse(status=task_messages.status(status))

    async def ListTasks(
        self, request: task_service_pb2.ListTasksRequest, _: rpc_errors.Context
    ) -> task_service_pb2.ListTasksResponse:
        """Reads a page of tasks."""
        return await pages.list_tasks(self._pools.reads, self._offloader, request)

    async def ListTaskLogs(
        self, request: task_service_pb2.ListTaskLogsRequest, _: rpc_errors.Context
    ) -> task_service_pb2.ListTaskLogsResponse:
        """Reads a page of a task's history."""
        return await pages.list_logs(self._pools.reads, request)

    async def UpdateTask(
        self, request: task_service_pb2.UpdateTaskRequest, _: rpc_errors.Context
    ) -> task_service_pb2.UpdateTaskResponse:
        """Changes a pending task."""
        updated, now = await update.update(self._pools.control, self._catalog, self._offloader, request)
        self._bell.announce([task.Changed.of(updated, now)])
        return task_service_pb2.UpdateTaskResponse(message="Task updated successfully")

    async def DeleteTask(
        self, request: task_service_pb2.DeleteTaskRequest, _: rpc_errors.Context
    ) -> task_service_pb2.DeleteTaskResponse:
        """Deletes a task softly."""
        task_id = fields.task_id(request.task_id)
        await permissions.check(self._pools.control, task_id)
        await task_edit.delete(self._pools.control, task_id, actor=access.actor())
        self._bell.changed([task_id])
        return task_service_pb2.DeleteTaskResponse(message="Task deleted successfully")

    async def CancelTask(self, request: task_service_pb2.CancelTaskRequest, _: rpc_errors.Context) -> task_pb2.Task:
        """Cancels a pending or running task."""
        task_id = fields.task_id(request.task_id)
        await permissions.check(self._pools.control, task_id)
        cancelled, now = await task_edit.cancel(self._pools.control, task_id, actor=access.actor())
        self._bell.cancelled([cancelled.task_id])
        self._bell.announce([task.Changed.of(cancelled, now)])
        return await self._offloader.write(task_messages.from_task, cancelled)

    async def RetryTask(self, request: task_service_pb2.RetryTaskRequest, _: rpc_errors.Context) -> task_pb2.Task:
        """Makes a failed or cancelled task pending again."""
        task_id = fields.task_id(request.task_id)
        await permissions.check(self._pools.control, task_id)
        retried, now = await task_edit.retry(self._pools.control, task_id, actor=access.actor())
        self._bell.announce([task.Changed.of(retried, now)])
        return await self._offloader.write(task_messages.from_task, retried)

    async def CancelTasks(
        self, request: task_service_pb2.CancelTasksRequest, _: rpc_errors.Context
    ) -> task_service_pb2.ChangedTasks:
        """Cancels the tasks that match."""
        return await bulk.change(self._pools.reads, self._bell, task.Change.CANCELLED, request)

    async def RetryTasks(
        self, request: task_service_pb2.RetryTasksRequest, _: rpc_errors.Context
    ) -> task_service_pb2.ChangedTasks:
        """Makes the tasks that match pending again."""
        return await bulk.change(self._pools.reads, self._bell, task.Change.RETRIED, request)

    async def DeleteTasks(
        self, request: task_service_pb2.DeleteTasksRequest, _: rpc_errors.Context
    ) -> task_service_pb2.ChangedTasks:
        """Deletes the tasks that match."""
        return await bulk.change(self._pools.reads, self._bell, task.Change.DELETED, request)

    async def MoveTasks(
        self, request: task_service_pb2.MoveTasksRequest, _: rpc_errors.Context
    ) -> task_service_pb2.ChangedTasks:
        """Moves the tasks that match to another time or queue."""
        return await bulk.change(self._pools.reads, self._bell, task.Change.UPDATED, request)

    async def ExplainTask(
        self, request: task_service_pb2.ExplainTaskRequest, _: rpc_errors.Context
    ) -> task_service_pb2.ExplainTaskResponse:
        """Explains why a task does not run."""
        facts = await task_explain.read(self._pools.reads, fields.task_id(request.task_id))
        if not access.may_read_payloads():
            facts = explanation.without_errors(facts)
        return task_service_pb2.ExplainTaskResponse(
            task_id=facts.task.task_id,
            status=task_messages.status(facts.task.status),
            reasons=[
                task_service_pb2.ExplainTaskResponse.Reason(code=each.code, message=each.message)
                for each in explanation.explain(facts)
            ],
        )

    def WatchTask(self, request: task_service_pb2.WatchTaskRequest, context: rpc_errors.Context) -> streams.Events:
        """Streams one task's changes."""
        return streams.watch_task(self._pools.reads, self._hub, cursors.resumed(request, context))

    def WatchTasks(self, request: task_service_pb2.WatchTasksRequest, context: rpc_errors.Context) -> streams.Events:
        """Streams the changes of all tasks that match."""
        return streams.watch_tasks(self._pools.reads, self._hub, cursors.resumed(request, context))
