"""The health of task ids, as a service of gRPC's health protocol: whether enough of them remain."""

import asyncio
import contextlib

from grpc_health.v1 import health, health_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.store.tasks import ids

SERVICE = "duetime.task_ids"
_INTERVAL_SECONDS = 60.0


class IdHealth:
    """Sets SERVICE to NOT_SERVING once nine tenths of the ids are used. The health of the server is not affected."""

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, checks: health.aio.HealthServicer) -> None:
        self._engine = engine
        self._checks = checks

    async def run(self) -> None:
        """Checks each minute, until cancelled. While the database is unavailable, the last status stays."""
        while True:
            with contextlib.suppress(errors.StoreUnavailable):  # the hub logs the outage
                await self.check()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def check(self) -> None:
        """Checks how many ids are used. Raises StoreUnavailable."""
        is_nearly_used_up = await ids.last(self._engine) > ids.NEARLY_ALL
        serving = health_pb2.HealthCheckResponse.SERVING
        await self._checks.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING if is_nearly_used_up else serving)
