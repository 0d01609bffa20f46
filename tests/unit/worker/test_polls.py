"""Which claims a worker begins, and when."""

import asyncio
import datetime
from typing import Any

from duetime_core.model import task
from duetime_core.process import background, outage
from duetime_worker import context, polls
from tests.support import loops

QUEUE = task.DEFAULT_QUEUE


class Worker:
    """A worker whose claims from one queue end when `may_end` is released, once for each."""

    def __init__(self) -> None:
        unreachable: Any = None
        lease = datetime.timedelta(seconds=15)
        here = context.Context("worker", unreachable, unreachable, lease, outage.Outage("the database", "it waits"))
        self.begun = 0
        self.may_end = asyncio.Semaphore(0)
        self.polls = polls.Polls(here, claim=self._claim, slots=lambda _source: 10, held=list)

    async def _claim(self, _source: polls.Source, _limit: int) -> None:
        self.begun += 1
        await self.may_end.acquire()

    async def poll(self) -> int:
        """Polls the queue; returns how many claims have begun."""
        self.polls.poll(QUEUE)
        return await self.settled()

    async def end_claim(self) -> int:
        """Ends the claim in flight; returns how many claims have begun."""
        self.may_end.release()
        return await self.settled()

    async def settled(self) -> int:
        await loops.settle()
        return self.begun


async def test_polls_during_a_claim_are_one_claim_once_it_ends() -> None:
    worker = Worker()
    services = background.start(worker.polls.run())
    assert [await worker.poll() for _ in range(3)] == [1, 1, 1]
    assert [await worker.end_claim() for _ in range(2)] == [2, 2]
    await background.end(services)


async def test_no_claim_begins_while_nothing_runs_the_polls() -> None:
    worker = Worker()
    services = background.start(worker.polls.run())
    assert [await worker.poll() for _ in range(2)] == [1, 1]
    await background.end(services)
    assert await worker.end_claim() == 1
    services = background.start(worker.polls.run())  # as `background.supervise` does after an error
    assert await worker.settled() == 2
    await worker.end_claim()
    await background.end(services)


async def test_no_claim_begins_once_the_polls_are_stopped() -> None:
    worker = Worker()
    services = background.start(worker.polls.run())
    assert [await worker.poll() for _ in range(2)] == [1, 1]
    worker.polls.stop()
    assert await worker.end_claim() == 1
    await worker.polls.ended()
    await background.end(services)
