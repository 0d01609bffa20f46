"""Receives wakeups: an arq worker for each queue, which has the runner poll it."""

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
    """An arq worker that leaves wakeups to other workers while no slot is free here."""

    def __init__(self, runner: runner.Runner, **options: Any) -> None:
        self._runner = runner
        super().__init__(**options)

    @property
    def allow_pick_jobs(self) -> bool:
        """Read by arq before each poll."""
        return self._runner.free_slots > 0

    @allow_pick_jobs.setter
    def allow_pick_jobs(self, value: bool) -> None:
        """Ignored: arq sets it at start, and in signal handlers that are not ours."""


async def receive(client: arq.connections.ArqRedis, runner: runner.Runner, queue: str) -> None:
    """Has `runner` poll the queue whenever a wakeup is due, until cancelled. Reconnects when connections are lost."""
    redis_outage = outage.Outage("redis", "the sweep claims due tasks each second")

    async def wake(ctx: dict[Any, Any], *_args: Any, **_kwargs: Any) -> None:
        redis_outage.end()
        runner.poll(queue)

    while True:
        # A lost connection ends arq's main loop and leaves its counters wrong, so a new worker is created.
        worker = _ArqWorker(
            runner,
            functions=[arq.worker.func(wake, name=wakeup.FUNCTION, keep_result=0, max_tries=1)],
            queue_name=wakeup.arq_queue(queue),
            redis_pool=client,
            handle_signals=False,  # the process handles them itself
            poll_delay=POLL_SECONDS,
            job_serializer=wakeup.serialize,
            job_deserializer=wakeup.deserialize,
        )
        try:
            await worker.main()
        except (redis.exceptions.RedisError, OSError) as error:
            redis_outage.begin(error)
            await asyncio.sleep(_RESTART_SECONDS)
