"""The time limit of a coroutine: it ends that alone, as `asyncio.timeout` does."""

import asyncio

import pytest

from duetime_worker import time_limit


async def endless() -> None:
    await asyncio.Event().wait()


async def test_a_coroutine_that_ends_in_time_has_its_result() -> None:
    assert await time_limit.run(asyncio.sleep(0, result=7), 60) == 7


async def test_a_coroutine_that_reaches_its_limit_is_cancelled_and_the_caller_is_not() -> None:
    with pytest.raises(time_limit.ReachedError):
        await time_limit.run(endless(), 0.01)
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_coroutine_that_ignores_its_limit_leaves_the_caller_as_it_was() -> None:
    async def ignoring() -> str:
        try:
            await endless()
        except asyncio.CancelledError:
            return "ended"
        return "never"

    assert await time_limit.run(ignoring(), 0.01) == "ended"
    current = asyncio.current_task()
    assert current is not None
    assert current.cancelling() == 0


async def test_a_cancellation_by_another_task_passes() -> None:
    running = asyncio.create_task(time_limit.run(endless(), 60))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_cancellation_together_with_the_limit_passes() -> None:
    async def cancelled_too() -> None:
        try:
            await endless()
        except asyncio.CancelledError:
            running.cancel()
            raise

    running = asyncio.create_task(time_limit.run(cancelled_too(), 0.01))
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_timeout_of_the_coroutine_itself_is_not_its_limit() -> None:
    async def timing_out() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as raised:
        await time_limit.run(timing_out(), 60)
    assert type(raised.value) is TimeoutError
