"""The parts of a server in this process, for tests that call its modules directly."""

from collections.abc import AsyncIterator

import grpc.aio
import pytest
import pytest_asyncio
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import queue_service_pb2_grpc, schedule_service_pb2_grpc, task_service_pb2_grpc
from duetime_core.process import background, outage
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_server.access import chain
from duetime_server.rpc import offload, pools
from duetime_server.services import audit, keys, queues, schedules, tasks
from duetime_server.tasks import creator, handler_catalog
from duetime_server.watch import hub
from tests.support import guarded as guarded_servers
from tests.support import principals

OUTAGE = outage.Outage("the database", "calls fail")


def same_for_all(engine: sqlalchemy_asyncio.AsyncEngine) -> pools.Pools:
    """Returns pools that share the connections of the test."""
    return pools.Pools(engine, engine, engine, engine)


@pytest_asyncio.fixture
async def bell(redis_url: str) -> AsyncIterator[doorbell.Doorbell]:
    """A doorbell that sends nothing, because it does not run."""
    client = redis_client.connect(redis_url)
    yield doorbell.Doorbell(client)
    await client.aclose(close_connection_pool=True)


@pytest.fixture
def catalog(engine: sqlalchemy_asyncio.AsyncEngine) -> handler_catalog.HandlerCatalog:
    """A catalog of the built-in handlers."""
    return handler_catalog.HandlerCatalog(engine, OUTAGE)


@pytest_asyncio.fixture
async def task_service(
    engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell, catalog: handler_catalog.HandlerCatalog
) -> AsyncIterator[tasks.TaskService]:
    """A TaskService that creates tasks."""
    task_creator, watch_hub = creator.Creator(engine, bell), hub.Hub(engine, OUTAGE)
    services = background.start(task_creator.run(), watch_hub.run())
    yield tasks.TaskService(same_for_all(engine), bell, task_creator, watch_hub, catalog, offload.Offload())
    await background.end(services)


@pytest.fixture
def queue_service(engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell) -> queues.QueueService:
    """A QueueService."""
    return queues.QueueService(same_for_all(engine), bell)


@pytest.fixture
def key_service(engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell) -> keys.KeyService:
    """A KeyService."""
    return keys.KeyService(same_for_all(engine), bell)


@pytest.fixture
def audit_service(engine: sqlalchemy_asyncio.AsyncEngine) -> audit.AuditService:
    """An AuditService."""
    return audit.AuditService(same_for_all(engine))


@pytest.fixture
def schedule_service(
    engine: sqlalchemy_asyncio.AsyncEngine, bell: doorbell.Doorbell, catalog: handler_catalog.HandlerCatalog
) -> schedules.ScheduleService:
    """A ScheduleService."""
    return schedules.ScheduleService(same_for_all(engine), bell, catalog, offload.Offload())


@pytest_asyncio.fixture
async def guarded(
    task_service: tasks.TaskService,
    queue_service: queues.QueueService,
    schedule_service: schedules.ScheduleService,
) -> AsyncIterator[guarded_servers.Guarded]:
    """All services behind the interceptors of a server that requires authentication."""
    tokens = principals.Tokens()
    server = grpc.aio.server(interceptors=chain.interceptors(tokens, OUTAGE))
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(task_service, server)
    queue_service_pb2_grpc.add_QueueServiceServicer_to_server(queue_service, server)
    schedule_service_pb2_grpc.add_ScheduleServiceServicer_to_server(schedule_service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield guarded_servers.Guarded(channel, tokens, f"127.0.0.1:{port}")
    await server.stop(None)
