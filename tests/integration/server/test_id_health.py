"""Monitors learn from a server's health that few task ids remain."""

from typing import Any

import sqlalchemy as sa
from grpc_health.v1 import health, health_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.store.tasks import ids
from duetime_server import id_health

SERVING = health_pb2.HealthCheckResponse.SERVING
CONTEXT: Any = None
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_the_health_of_ids_is_not_serving_once_nine_tenths_are_used(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    checks = health.aio.HealthServicer()
    checking = id_health.IdHealth(engine, checks)
    for used, status in ((ids.NEARLY_ALL, SERVING), (ids.NEARLY_ALL + 1, NOT_SERVING)):
        async with engine.connect() as connection:
            await connection.execute(sa.text(f"SELECT setval('tasks_task_id_seq', {used})"))
        await checking.check()
        request = health_pb2.HealthCheckRequest(service=id_health.SERVICE)
        assert (await checks.Check(request, CONTEXT)).status == status
        assert (await checks.Check(health_pb2.HealthCheckRequest(), CONTEXT)).status == SERVING
