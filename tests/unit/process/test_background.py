"""Work that has to end once it has begun."""

import asyncio

import pytest

from duetime_core.process import background


async def test_work_that_is_cancelled_again_and_again_ends_first() -> None:
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await may_end.wait()
        ended.set()

    finishing = asyncio.create_task(background.finish(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        finishing.cancel()
    await asyncio.sleep(0)
    assert not finishing.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert ended.is_set()


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_work_that_fails_raises_at_its_caller(is_cancelled: bool) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError

    finishing = asyncio.create_task(background.finish(work()))
    await asyncio.sleep(0)
    if is_cancelled:
        finishing.cancel()
    with pytest.raises(asyncio.CancelledError if is_cancelled else ValueError):
        await finishing


async def test_finished_work_is_answered() -> None:
    assert await background.finish(asyncio.sleep(0, result=7)) == 7
