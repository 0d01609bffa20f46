"""Receiving wakeups: an arq worker for each queue, which tells the runner to look."""

import asyncio
from collections.abc import Collection
from typing import Any, cast

import arq
import arq.connections
import arq.typing
import arq.worker
import redis.exceptions

from duetime_core import outage, wakeup
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
        return self._runs.free_places > 0

    @allow_pick_jobs.setter
    def allow_pick_jobs(self, value: bool) -> None:
        """Ignored: arq sets it at start, and in signal handlers that are not ours."""


class WakeupReceiver:
    """Keeps the arq workers running, over lost connections."""

    def __init__(self, client: arq.connections.ArqRedis, runs: runner.Runner, *, queues: Collection[str]) -> None:
        self._client = client
        self._runs = runs
        self._queues = queues
        self._outage = outage.Outage("redis", "the sweep looks for due tasks each second")

    async def run(self) -> None:
        """Receives wakeups, for ever."""
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(self._receive(queue))

    async def _receive(self, queue: str) -> None:
        while True:
            # A lost connection ends arq's main loop, and leaves its counters wrong: begin with a new one.
            worker = _ArqWorker(
                self._runs,
                functions=[
                    arq.worker.func(
                        cast("arq.typing.WorkerCoroutine", self._wake), name=wakeup.FUNCTION, keep_result=0, max_tries=1
                    )
                ],
                queue_name=wakeup.arq_queue(queue),
                redis_pool=self._client,
                handle_signals=False,  # the process's own
                poll_delay=POLL_SECONDS,
                job_serializer=wakeup.serialize,
                job_deserializer=wakeup.deserialize,
            )
            try:
                await worker.main()
            except (redis.exceptions.RedisError, OSError) as error:
                self._outage.begin(error)
                await asyncio.sleep(_RESTART_SECONDS)

    async def _wake(self, _: dict[Any, Any], queue: str) -> None:
        self._outage.end()
        self._runs.look(queue)
