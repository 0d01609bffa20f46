"""The contract over gRPC, through Envoy: every rpc, health and reflection."""

import datetime
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, duration_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from duetime.v1 import task_pb2, task_service_pb2
from tests.acceptance import refusals, requests
from tests.support import stacks

SERVICE = "duetime.v1.TaskService"


async def create(stub: Any, **changes: Any) -> int:
    task_id: int = (await stub.CreateTask(requests.as_message(**changes))).task_id
    return task_id


async def test_a_task_is_returned_as_it_was_created(stub: Any, queue: str) -> None:
    due = datetime.datetime(2040, 1, 2, 3, 4, 5, 678901, datetime.UTC)
    policy = task_pb2.RetryPolicy(
        initial_backoff=duration_pb2.Duration(nanos=1000),
        max_backoff=duration_pb2.Duration(seconds=2592000),
        multiplier=1,
        jitter=0,
    )
    request = requests.as_message(
        name="Größe ✓",
        execution_time=due,
        task_data=requests.struct({"text": "ü\n", "number": -1.5, "flag": True, "none": None, "list": [{}, []], "": 0}),
        queue=queue,
        max_retries=1000,
        retry_policy=policy,
        timeout=duration_pb2.Duration(seconds=604800),
        request_id=queue,
    )
    task_id = (await stub.CreateTask(request)).task_id
    task = await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))
    assert task.execution_time.ToDatetime(datetime.UTC) == due
    for field in ("name", "task_data", "queue", "max_retries", "retry_policy", "timeout", "request_id"):
        assert getattr(task, field) == getattr(request, field), field
    assert (task.task_id, task.status, task.version) == (task_id, task_pb2.Task.pending, 1)
    for unset in ("result", "executed_at", "lease_expires_at"):
        assert not task.HasField(unset)


async def test_each_change_of_a_task_increments_its_version(stub: Any, queue: str) -> None:
    task_id = await create(stub, queue=queue)
    update = task_service_pb2.UpdateTaskRequest(task_id=task_id, name="renamed", version=1)
    assert (await stub.UpdateTask(update)).message == "Task updated successfully"
    cancelled = await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task_id))
    assert (cancelled.status, cancelled.version) == (task_pb2.Task.cancelled, 3)
    again = await stub.CancelTask(task_service_pb2.CancelTaskRequest(task_id=task_id))
    assert again == cancelled
    retried = await stub.RetryTask(task_service_pb2.RetryTaskRequest(task_id=task_id))
    assert (retried.status, retried.version) == (task_pb2.Task.pending, 4)
    deleted = await stub.DeleteTask(task_service_pb2.DeleteTaskRequest(task_id=task_id))
    assert deleted.message == "Task deleted successfully"
    refusal = await refusals.over_grpc(stub.GetTaskStatus(task_service_pb2.GetTaskStatusRequest(task_id=task_id)))
    assert refusal.reason == "TASK_NOT_FOUND"
    logs = (await stub.ListTaskLogs(task_service_pb2.ListTaskLogsRequest(task_id=task_id))).logs
    assert [(log.version, log.change, log.actor) for log in logs] == [
        (1, "created", "api"),
        (2, "updated", "api"),
        (3, "cancelled", "api"),
        (4, "retried", "api"),
        (5, "deleted", "api"),
    ]


async def test_a_batch_is_created_in_order_and_listed(stub: Any, queue: str) -> None:
    batch = task_service_pb2.BatchCreateTasksRequest(
        requests=[requests.as_message(queue=queue, name=f"task {number}") for number in range(1000)]
    )
    task_ids = list((await stub.BatchCreateTasks(batch)).task_ids)
    listing = task_service_pb2.ListTasksRequest(queue=queue, order_by="task_id", page_size=1000)
    listed = await stub.ListTasks(listing)
    assert [(task.task_id, task.name) for task in listed.tasks] == [
        (task_id, f"task {number}") for number, task_id in enumerate(task_ids)
    ]
    assert listed.next_page_token == ""


async def test_the_same_request_id_in_a_batch_is_one_task(stub: Any, queue: str) -> None:
    twin = requests.as_message(queue=queue, request_id=queue)
    batch = task_service_pb2.BatchCreateTasksRequest(requests=[twin, twin])
    one, other = (await stub.BatchCreateTasks(batch)).task_ids
    assert one == other == (await stub.CreateTask(twin)).task_id
    assert len((await stub.ListTasks(task_service_pb2.ListTasksRequest(queue=queue))).tasks) == 1


async def test_get_status_returns_only_the_status(stub: Any, queue: str) -> None:
    request = task_service_pb2.GetTaskStatusRequest(task_id=await create(stub, queue=queue))
    assert (await stub.GetTaskStatus(request)).status == task_pb2.Task.pending


async def test_a_task_that_ran_shows_its_result_and_its_log_its_worker(stub: Any) -> None:
    data = requests.struct({"a": [1, "two"]})
    task_id = await create(stub, name="echo", execution_time=requests.at(0), task_data=data)
    events = [event async for event in stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task_id))]
    assert events[-1].end.reason == "TASK_TERMINAL"
    task = await stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id))
    assert (task.status, task.result) == (task_pb2.Task.completed, data)
    assert task.execution_time.ToNanoseconds() <= task.executed_at.ToNanoseconds() <= task.updated_at.ToNanoseconds()
    assert not task.worker_id
    assert not task.HasField("lease_expires_at")
    created, started, completed = (await stub.ListTaskLogs(task_service_pb2.ListTaskLogsRequest(task_id=task_id))).logs
    assert events[-2].change == completed
    assert created.actor == "api"
    assert started.actor == completed.actor != "api"
    assert completed.HasField("duration")
    assert not started.HasField("duration")


async def test_health_is_served_for_the_service(stack: stacks.Stack) -> None:
    async with grpc.aio.insecure_channel(stack.address) as channel:
        checks: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", SERVICE):
            answer = await checks.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await checks.Check(health_pb2.HealthCheckRequest(service="nothing"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_describes_the_service(stack: stacks.Stack) -> None:
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    async with grpc.aio.insecure_channel(stack.address) as channel:
        untyped: Any = channel  # the stub is typed for synchronous channels
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(untyped)
        listed, described = [answer async for answer in reflection.ServerReflectionInfo(iter(asked))]
    assert SERVICE in [service.name for service in listed.list_services_response.service]
    encoded, *_ = described.file_descriptor_response.file_descriptor_proto
    (service,) = descriptor_pb2.FileDescriptorProto.FromString(encoded).service
    assert [method.name for method in service.method] == [
        method.name for method in task_service_pb2.DESCRIPTOR.services_by_name["TaskService"].methods
    ]
