"""Receiving wakeups: an arq worker for each queue, which tells the runner to look."""

import asyncio
from typing import Any

import arq
import arq.connections
import arq.worker
import redis.exceptions

from duetime_core.process import outage
from duetime_core.redis import wakeup
from duetime_worker import runner

POLL_SECONDS = 0.01
_RESTART_SECONDS = 1.0


class _ArqWorker(arq.Worker):
    """An arq worker that leaves the wakeups to others while all places here are taken."""

    def __init__(self, runs: runner.Runner, **options: Any) -> None:
        self._runs = runs
        super().__init__(**options)

    @property
    def allow_pick_jobs(self) -> bool:
        """Asked by arq before each poll."""
        return self._runs.free_slots > 0

    @allow_pick_jobs.setter
    def allow_pick_jobs(self, value: bool) -> None:
        """Ignored: arq sets it at start, and in signal handlers that are not ours."""


async def receive(client: arq.connections.ArqRedis, runs: runner.Runner, queue: str) -> None:
    """Has `runs` look whenever a wakeup of `queue` is due, for ever, over lost connections."""
    redis_outage = outage.Outage("redis", "the sweep claims due tasks each second")

    async def wake(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
        redis_outage.end()
        runs.look(queue)

    while True:
        # A lost connection ends arq's main loop, and leaves its counters wrong: begin with a new one.
        worker = _ArqWorker(
            runs,
            functions=[arq.worker.func(wake, name=wakeup.FUNCTION, keep_result=0, max_tries=1)],
            queue_name=wakeup.arq_queue(queue),
            redis_pool=client,
            handle_signals=False,  # the process's own
            poll_delay=POLL_SECONDS,
            job_serializer=wakeup.serialize,
            job_deserializer=wakeup.deserialize,
        )
        try:
            await worker.main()
        except (redis.exceptions.RedisError, OSError) as error:
            redis_outage.begin(error)
            await asyncio.sleep(_RESTART_SECONDS)
