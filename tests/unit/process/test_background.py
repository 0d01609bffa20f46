"""Work that has to end once it has begun, and services that unknown errors must not end."""

import asyncio

import pytest
import structlog.testing

from duetime_core.process import background, failures


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


@pytest.mark.parametrize("error", [KeyError("a bug"), asyncio.CancelledError()])
async def test_a_service_that_meets_an_unknown_error_logs_it_and_continues(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "FIRST_SECONDS", 0.001)
    ran = asyncio.Semaphore(0)

    async def service() -> None:
        ran.release()
        raise error

    with structlog.testing.capture_logs() as lines:
        services = background.start(background.supervise("sweep", service))
        for _ in range(4):
            await ran.acquire()
        await background.end(services)
    assert [(line["event"], line["service"], line["count"]) for line in lines[:3]] == [
        ("service failed", "sweep", count) for count in (1, 2, 3)
    ]
    assert ["exc_info" in line for line in lines[:3]] == [True, False, False]
    assert services[0].cancelled()


async def test_a_service_that_returns_is_not_started_again() -> None:
    calls = []

    async def service() -> None:
        calls.append(1)

    await background.supervise("runner", service)
    assert calls == [1]
