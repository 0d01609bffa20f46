"""QueueService, called without gRPC."""

from typing import Any

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import queue_service_pb2
from duetime_core.model import errors
from duetime_server.services import queues
from tests.support import factories

CONTEXT: Any = None


async def test_a_queue_is_limited_paused_and_resumed_and_its_log_names_each_change(
    queue_service: queues.QueueService,
) -> None:
    request = queue_service_pb2.UpdateQueueRequest(name="mail", max_running=5, allow_missing=True)
    assert (await queue_service.UpdateQueue(request, CONTEXT)).max_running == 5
    assert (await queue_service.PauseQueue(queue_service_pb2.PauseQueueRequest(name="mail"), CONTEXT)).paused
    assert not (await queue_service.ResumeQueue(queue_service_pb2.ResumeQueueRequest(name="mail"), CONTEXT)).paused
    logs = await queue_service.ListQueueLogs(queue_service_pb2.ListQueueLogsRequest(name="mail"), CONTEXT)
    assert [each.change for each in logs.logs] == ["updated", "paused", "resumed"]


async def test_an_unknown_queue_is_refused_with_the_nearest_known_one(
    engine: sqlalchemy_asyncio.AsyncEngine, queue_service: queues.QueueService
) -> None:
    for name in ("mail", "reports"):
        await factories.create(engine, queue=name)
    with pytest.raises(errors.QueueNotFound, match=r"Did you mean 'mail'\?") as refused:
        await queue_service.PauseQueue(queue_service_pb2.PauseQueueRequest(name="mial"), CONTEXT)
    assert "reports" not in refused.value.message


async def test_queues_are_listed_a_page_at_a_time(
    engine: sqlalchemy_asyncio.AsyncEngine, queue_service: queues.QueueService
) -> None:
    for name in ("a", "b", "c"):
        await factories.create(engine, queue=name)
    names: list[str] = []
    token = ""
    while not names or token:
        page = await queue_service.ListQueues(
            queue_service_pb2.ListQueuesRequest(page_size=2, page_token=token), CONTEXT
        )
        names += [each.name for each in page.queues]
        token = page.next_page_token
    assert [name for name in names if name in {"a", "b", "c"}] == ["a", "b", "c"]
