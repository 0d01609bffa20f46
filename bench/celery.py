"""The reference Celery: one worker on a Valkey that is empty, and tasks with an ETA."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import redis.asyncio

from bench import harness, reference

_POLL_SECONDS = 0.1
_STOP_SECONDS = 30
_QUEUE = "celery"


def _broker(redis_url: str) -> str:
    """Returns a unix socket's address as Celery writes it."""
    return redis_url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")


@contextlib.asynccontextmanager
async def run_worker(deployment: harness.Deployment, programs: reference.Reference) -> AsyncIterator[None]:
    """Has a worker work, whose tasks note how late they start in the scene's directory."""
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
    """Schedules tasks evenly from that moment on, and returns once the worker has all of them in its memory."""
    await programs.run("schedule", _broker(deployment.redis_url), tasks, rate, first)
    async with redis.asyncio.Redis.from_url(deployment.redis_url) as client:
        while True:
            if not await client.llen(_QUEUE):
                return
            await asyncio.sleep(_POLL_SECONDS)
