"""A worker inside the test's process."""

import asyncio
import datetime
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.process import outage
from duetime_core.redis import doorbell
from duetime_worker import context, execution, handlers, runner


class Worker:
    """A runner and its outcome recorder, with one handler that signals its events and ends when `may_end` is set."""

    def __init__(
        self,
        engine: sqlalchemy_asyncio.AsyncEngine,
        bell: doorbell.Doorbell,
        *,
        lease: datetime.timedelta,
        concurrency: int = 10,
        threads: int = 10,
    ) -> None:
        self.here = here = context.Context("worker", engine, bell, lease, outage.Outage("the database", "it waits"))
        handler = handlers.Handler("wait", self._wait, None, None, {})
        executor = execution.Executor({"wait": handler}, threads=threads)
        self.runner = runner.Runner(
            here, executor, queues=[task.DEFAULT_QUEUE], concurrency=concurrency, threads=threads
        )
        self.recorder = self.runner.recorder
        self.began = asyncio.Semaphore(0)
        self.cancelled = asyncio.Semaphore(0)
        self.may_end = asyncio.Event()
        self.services: list[asyncio.Task[None]] = []

    async def _wait(self) -> dict[str, Any]:
        self.began.release()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return {}
