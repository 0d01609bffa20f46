"""The log names the caller as the actor of what calls change."""

from typing import Any

from duetime.v1 import queue_service_pb2
from duetime_server.rpc import actor
from duetime_server.services import queues

CONTEXT: Any = None


async def test_a_change_of_a_caller_is_logged_as_the_callers(queue_service: queues.QueueService) -> None:
    request = queue_service_pb2.UpdateQueueRequest(name="mail", paused=True, allow_missing=True)
    await queue_service.UpdateQueue(request, CONTEXT)
    logs = await queue_service.ListQueueLogs(queue_service_pb2.ListQueueLogsRequest(name="mail"), CONTEXT)
    assert [each.actor for each in logs.logs] == [actor.CALLER] == ["api"]
