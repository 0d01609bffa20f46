"""Coroutines that are begun at once: those that wait continue in the asyncio task that awaits them."""

import asyncio
import contextvars

import pytest

from duetime_worker import first_step

VARIABLE = contextvars.ContextVar("VARIABLE", default="outside")


async def test_a_coroutine_that_never_waits_has_ended_at_once() -> None:
    async def short() -> int:
        return 3

    begun = first_step.Begun(short())
    assert (begun.has_ended, begun.result) == (True, 3)
    assert await begun == 3


async def test_an_error_before_the_first_wait_is_raised_at_once() -> None:
    async def wrong() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        first_step.Begun(wrong())


async def test_a_coroutine_that_waits_continues_with_what_it_waited_for() -> None:
    future = asyncio.get_running_loop().create_future()

    async def waits() -> int:
        await asyncio.sleep(0)
        found: int = await future
        return found + 1

    begun = first_step.Begun(waits())
    assert not begun.has_ended
    asyncio.get_running_loop().call_soon(future.set_result, 3)
    assert await begun == 4


async def test_a_cancellation_reaches_the_coroutine_which_may_clean_up() -> None:
    cleaned = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def awaiting() -> None:
        await first_step.Begun(waits())

    running = asyncio.create_task(awaiting())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned == [True]


async def test_a_timeout_within_the_coroutine_ends_its_wait_alone() -> None:
    async def waits() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "went on"
        return "waited"

    assert await first_step.Begun(waits()) == "went on"


async def test_context_variables_of_one_coroutine_do_not_reach_another() -> None:
    async def sets(value: str) -> str:
        VARIABLE.set(value)
        await asyncio.sleep(0)
        return VARIABLE.get()

    first, second = first_step.Begun(sets("first")), first_step.Begun(sets("second"))
    assert (await first, await second, VARIABLE.get()) == ("first", "second", "outside")
