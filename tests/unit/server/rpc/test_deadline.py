"""The deadline of calls."""

import asyncio

import pytest
import structlog.testing

from duetime_core.model import errors
from duetime_core.postgres import error_mapping
from duetime_server.rpc import deadline


class Call:
    """A call that waits for `answer`, and, if it is cancelled, ends once `released` is set."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun, self.cancelled, self.released, self.ended = (asyncio.Event() for _ in range(4))
        self._failure = failure

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.released.wait()
            self.ended.set()
            if self._failure is not None:
                raise self._failure from None
            raise


async def refuse() -> None:
    raise errors.TaskNotFound


async def answer() -> str:
    return "an answer"


async def test_a_call_in_time_returns_or_raises_as_its_handler_does() -> None:
    kept = deadline.Deadline()
    assert await kept.keep(answer()) == "an answer"
    with pytest.raises(errors.TaskNotFound):
        await kept.keep(refuse())


@pytest.mark.parametrize("failure", [None, errors.StoreUnavailable(), LookupError("a mistake")], ids=repr)
async def test_a_late_call_fails_at_once_and_ends_in_the_background(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    monkeypatch.setattr(deadline, "CALL_SECONDS", 0.01)
    kept, call = deadline.Deadline(), Call(failure)
    with pytest.raises(errors.StoreUnavailable) as raised:
        await kept.keep(call())
    assert raised.value.message == error_mapping.LATE
    await call.cancelled.wait()
    (left,) = kept._abandoned
    call.released.set()
    with structlog.testing.capture_logs() as logged:
        await asyncio.wait([left])
        await asyncio.sleep(0)  # a turn of the loop, in which it is forgotten
    assert not kept._abandoned
    assert [each["exc_info"] for each in logged] == ([failure] if isinstance(failure, LookupError) else [])


async def test_a_caller_who_hangs_up_stays_cancelled_and_ends_the_call() -> None:
    kept, call = deadline.Deadline(), Call()
    caller = asyncio.create_task(kept.keep(call()))
    await call.begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await call.cancelled.wait()
    call.released.set()
    await call.ended.wait()


async def test_a_caller_who_hangs_up_as_the_call_fails_leaves_no_error_behind() -> None:
    kept = deadline.Deadline()
    calls: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
    failing = asyncio.Event()

    async def fail() -> None:
        if call := asyncio.current_task():
            calls.put_nowait(call)
        await failing.wait()
        raise errors.TaskNotFound

    caller = asyncio.create_task(kept.keep(fail()))
    (await calls.get()).add_done_callback(lambda _: caller.cancel())
    failing.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await asyncio.sleep(0)
    assert not kept._abandoned
