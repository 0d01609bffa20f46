"""Running the tasks of a claim."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duetime_worker import batches
from duetime_worker.run import Run
from tests.support import runs


class Worker:
    """Runs that compute for so many seconds by its own clock, and wait until `may_end` if they are to."""

    def __init__(self, *, compute_seconds: float = 0.0, waits: bool = False) -> None:
        self.now = 0.0
        self.batches = batches.Batches(self._run, self._on_begun, lambda: self.now)
        self.tasks: list[asyncio.Task[None] | None] = []  # of each run, as it began
        self.may_end = asyncio.Event()
        self.have_begun = asyncio.Event()
        self.all_ended = asyncio.Event()
        self._compute_seconds = compute_seconds
        self._waits = waits
        self._left = 0

    def start(self, count: int) -> None:
        self._left += count
        self.batches.start([Run(runs.claimed(task_id=number), 0.0) for number in range(count)])

    def _on_begun(self) -> None:
        self.have_begun.set()

    async def _run(self, _run: Run, on_wait: Callable[[], None]) -> None:
        self.tasks.append(asyncio.current_task())
        self.now += self._compute_seconds
        if self._waits:
            on_wait()
            await self.may_end.wait()
        self._left -= 1
        if not self._left:
            self.all_ended.set()


async def test_runs_that_never_wait_share_an_asyncio_task() -> None:
    worker = Worker()
    worker.start(50)
    await worker.all_ended.wait()
    assert len({id(each) for each in worker.tasks}) == 1


async def test_each_run_knows_the_asyncio_task_that_runs_it() -> None:
    worker, known = Worker(), []

    async def run(each: Run, _on_wait: Callable[[], None]) -> None:
        known.append(each.running is asyncio.current_task())

    worker.batches._run = run
    worker.start(3)
    await worker.have_begun.wait()
    assert known == [True] * 3


async def test_runs_that_wait_have_an_asyncio_task_each() -> None:
    worker = Worker(waits=True)
    worker.start(50)
    await worker.have_begun.wait()
    assert len({id(each) for each in worker.tasks}) == 50
    worker.may_end.set()
    await worker.all_ended.wait()


async def test_the_others_run_if_a_handler_cancels_its_own_task() -> None:
    worker = Worker()

    async def cancelling(_run: Run, _on_wait: Callable[[], None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        worker.tasks.append(task)
        task.cancel()

    worker.batches._run = cancelling
    worker.start(3)
    await worker.have_begun.wait()
    assert len({id(each) for each in worker.tasks}) == 3


async def test_the_runs_of_a_large_claim_do_not_keep_the_event_loop_from_everything_else() -> None:
    for waits in (False, True):
        worker = Worker(compute_seconds=0.004, waits=waits)
        worker.may_end.set()
        worker.start(40)
        longest, last = 0, 0
        while not worker.all_ended.is_set():
            await asyncio.sleep(0)
            longest, last = max(longest, len(worker.tasks) - last), len(worker.tasks)
        assert longest == 3


async def test_handlers_that_wait_begin_in_few_iterations_of_the_event_loop_however_long_these_are() -> None:
    for count, most in ((1, 2), (100, 3), (500, 8)):
        worker = Worker(compute_seconds=0.00005, waits=True)
        worker.start(count)
        iterations = 0
        while not worker.have_begun.is_set():
            worker.now += 0.1  # what other coroutines take
            await asyncio.sleep(0)
            iterations += 1
        assert iterations <= most
        assert len({id(each) for each in worker.tasks}) == count
        worker.may_end.set()
        await worker.all_ended.wait()


async def test_a_claim_has_hardly_more_asyncio_tasks_than_handlers_that_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker()
    run, created = worker.batches._run, 0

    async def waiting_now_and_then(each: Run, on_wait: Callable[[], None]) -> None:
        await run(each, on_wait)
        if each.claimed.task_id % 10 == 9:
            on_wait()
            await asyncio.sleep(0)

    def count(*given: Any, **options: Any) -> asyncio.Task[None]:
        nonlocal created
        created += 1
        return create_task(*given, **options)

    create_task = asyncio.create_task
    monkeypatch.setattr(asyncio, "create_task", count)
    worker.batches._run = waiting_now_and_then
    worker.start(500)
    await worker.have_begun.wait()
    assert 50 <= created <= 60


async def test_a_worker_takes_as_many_tasks_as_it_begins_soon_by_its_pace_and_at_least_100() -> None:
    fast, slow = Worker(compute_seconds=0.0001), Worker(compute_seconds=0.005)
    for worker in (fast, slow):
        assert worker.batches.room == 100
        worker.start(60)
        assert worker.batches.room == 40
        await worker.all_ended.wait()
        await worker.have_begun.wait()
    assert slow.batches.room == 100
    assert fast.batches.room == 500
