"""Receives wakeups: one poll of Redis for all queues, and an arq worker for each, which has the runner poll it."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import arq
import arq.utils
import arq.worker
import redis.exceptions

from duetime_core.model import namespace
from duetime_core.redis import client as redis_client
from duetime_core.redis import wakeup
from duetime_worker import runner

POLL_SECONDS = 0.01
_RESTART_SECONDS = 1.0


async def receive(client: redis_client.Client, runner: runner.Runner, queues: Sequence[str]) -> None:
    """Has `runner` poll each queue whenever a wakeup of it is due, until cancelled. Reconnects lost connections."""
    redis_outage = redis_client.RedisOutage("the sweep claims due tasks each second")
    while True:
        try:
            await _receive(client, runner, queues, redis_outage)
        except (redis.exceptions.RedisError, OSError) as error:
            redis_outage.begin(error)
            await asyncio.sleep(_RESTART_SECONDS)


async def _receive(
    client: redis_client.Client, runner: runner.Runner, queues: Sequence[str], redis_outage: redis_client.RedisOutage
) -> None:
    """Raises RedisError or OSError if a connection is lost, which leaves the counters of these arq workers wrong."""
    due = wakeup.DueWakeups(client, client.names, namespace.current(), queues)
    workers = {queue: _worker(client, runner, queue) for queue in queues}
    taking: set[str] = set()  # queues whose worker has begun to take wakeups
    try:
        # arq's own loop, in `Worker.main`, would poll for each queue: 100 queues took half a core.
        async for _ in arq.utils.poll(POLL_SECONDS):
            if runner.free_slots > 0:  # otherwise other workers get the wakeups
                found = await due.read()
                redis_outage.end()
                taking.update(found)
                await _start_jobs((workers[queue], job_ids) for queue, job_ids in found.items())
            for queue in [*taking]:
                _raise_errors(workers[queue])
                if not workers[queue].tasks:
                    taking.remove(queue)
    finally:
        for worker in workers.values():
            for job in worker.tasks.values():
                job.add_done_callback(_ignore_error)  # the outage is logged once


def _worker(client: redis_client.Client, runner: runner.Runner, queue: str) -> arq.Worker:
    async def wake(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
        runner.poll(queue)

    return arq.Worker(
        functions=[arq.worker.func(wake, name=wakeup.FUNCTION, keep_result=0, max_tries=1)],
        queue_name=client.names.wakeups(namespace.current(), queue),
        redis_pool=client,
        handle_signals=False,  # the process handles them itself
        job_serializer=wakeup.serialize,
        job_deserializer=wakeup.deserialize,
    )


async def _start_jobs(found: Iterable[tuple[arq.Worker, list[bytes]]]) -> None:
    """Raises the first error once all have returned, so that none starts a job that nobody awaits."""
    starting = (worker.start_jobs(job_ids) for worker, job_ids in found)
    for error in await asyncio.gather(*starting, return_exceptions=True):
        if error is not None:
            raise error


def _ignore_error(job: asyncio.Task[Any]) -> None:
    if not job.cancelled():
        job.exception()


def _raise_errors(worker: arq.Worker) -> None:
    """Forgets jobs that ended. Raises the error of one that lost its connection."""
    for job_id, job in list(worker.tasks.items()):
        if job.done():
            del worker.tasks[job_id]
            job.result()
