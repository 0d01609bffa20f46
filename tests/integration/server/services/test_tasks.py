"""TaskService, called without gRPC."""

import datetime
from typing import Any

import pytest

from duetime.v1 import task_pb2, task_service_pb2
from duetime_core.model import errors
from duetime_server.services import tasks

CONTEXT: Any = None


def create(**changes: Any) -> Any:
    request = task_service_pb2.CreateTaskRequest(**{"name": "noop", **changes})
    request.execution_time.FromDatetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
    return request


async def status(service: tasks.TaskService, task_id: int) -> str:
    request = task_service_pb2.GetTaskStatusRequest(task_id=task_id)
    return task_pb2.Task.Status.Name((await service.GetTaskStatus(request, CONTEXT)).status)


async def test_a_task_is_created_updated_cancelled_retried_and_deleted(task_service: tasks.TaskService) -> None:
    task_id = (await task_service.CreateTask(create(), CONTEXT)).task_id
    await task_service.UpdateTask(task_service_pb2.UpdateTaskRequest(task_id=task_id, priority=3), CONTEXT)
    assert (await task_service.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id), CONTEXT)).priority == 3
    await task_service.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task_id), CONTEXT)
    assert await status(task_service, task_id) == "cancelled"
    await task_service.RetryTask(task_service_pb2.RetryTaskRequest(task_id=task_id), CONTEXT)
    assert await status(task_service, task_id) == "pending"
    await task_service.DeleteTask(task_service_pb2.DeleteTaskRequest(task_id=task_id), CONTEXT)
    with pytest.raises(errors.TaskNotFound):
        await status(task_service, task_id)


async def test_a_batch_is_created_and_changed_by_a_filter(task_service: tasks.TaskService) -> None:
    batch = task_service_pb2.BatchCreateTasksRequest(requests=[create(queue="mail"), create(queue="mail"), create()])
    task_ids = (await task_service.BatchCreateTasks(batch, CONTEXT)).task_ids
    mail: Any = {"filter": task_service_pb2.TaskFilter(queue="mail")}
    moved = task_service_pb2.MoveTasksRequest(**mail, queue="post")
    assert (await task_service.MoveTasks(moved, CONTEXT)).count == 2
    deleted = await task_service.DeleteTasks(task_service_pb2.DeleteTasksRequest(all=True), CONTEXT)
    assert (deleted.count, deleted.has_more) == (len(task_ids), False)


async def test_an_explanation_has_codes_and_sentences(task_service: tasks.TaskService) -> None:
    task_id = (await task_service.CreateTask(create(), CONTEXT)).task_id
    explained = await task_service.ExplainTask(task_service_pb2.ExplainTaskRequest(task_id=task_id), CONTEXT)
    assert explained.task_id == task_id
    assert all(reason.code and reason.message for reason in explained.reasons)
    assert explained.reasons
