"""The reference Celery: one worker with an empty Valkey as its broker, and tasks with an ETA."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import redis.asyncio

from bench import harness, reference

_POLL_SECONDS = 0.1
_STOP_SECONDS = 30
_QUEUE = "celery"


def _broker(redis_url: str) -> str:
    """Returns the URL of a unix socket in Celery's format."""
    return redis_url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")


@contextlib.asynccontextmanager
async def run_worker(deployment: harness.Deployment, programs: reference.Reference) -> AsyncIterator[None]:
    """Runs a worker whose tasks record their lateness in the deployment's directory."""
    worker = await programs.start("worker", _broker(deployment.redis_url), deployment.directory)
    try:
        yield
    finally:
        worker.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await worker.wait()
        except TimeoutError:
            worker.kill()


async def schedule(
    deployment: harness.Deployment, programs: reference.Reference, *, tasks: int, rate: float, first: float
) -> None:
    """Schedules tasks at even intervals from `first` on, and returns once the worker has received all of them."""
    await programs.run("schedule", _broker(deployment.redis_url), tasks, rate, first)
    async with redis.asyncio.Redis.from_url(deployment.redis_url) as client:
        while True:
            if not await client.llen(_QUEUE):
                return
            await asyncio.sleep(_POLL_SECONDS)
