"""The limiter: which calls run, which wait, and which are refused."""

import asyncio

import pytest

from duetime_core.model import errors
from duetime_server.rpc import limiter, turns


class Call:
    """Holds a slot until it is released."""

    def __init__(self, limited: limiter.Limiter, size: int = 1, *, owner: str | None = None) -> None:
        self._limited, self._size, self._owner = limited, size, owner
        self.is_running, self.release = asyncio.Event(), asyncio.Event()
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        turns.owner.set(self._owner)
        async with self._limited.slot(self._size):
            self.is_running.set()
            await self.release.wait()


async def test_as_many_calls_run_as_the_limit_allows_and_the_next_starts_when_one_ends() -> None:
    limited = limiter.Limiter("calls", limit=2, max_waiting=10, wait_seconds=5)
    calls = [Call(limited) for _ in range(4)]
    await calls[1].is_running.wait()
    assert [each.is_running.is_set() for each in calls] == [True, True, False, False]
    calls[2].running.cancel()  # a caller that hangs up while it waits
    calls[0].release.set()
    await calls[3].is_running.wait()
    calls[1].running.cancel()  # one that hangs up while it runs
    late = Call(limited)
    await late.is_running.wait()
    for each in (calls[3], late):
        each.release.set()
        await each.running


async def test_a_call_is_refused_after_its_wait_and_at_once_if_too_many_are_waiting() -> None:
    limited = limiter.Limiter("calls", limit=1, max_waiting=10, wait_seconds=0.5)
    running = Call(limited, 1_000)  # of any size: it does not wait
    await running.is_running.wait()
    waiting = Call(limited, 10)
    await asyncio.sleep(0)
    with pytest.raises(errors.ServerBusy, match="handles 1 calls at a time, and too many are waiting"):
        await Call(limited).running
    waiting.running.cancel()
    await asyncio.wait([waiting.running])
    with pytest.raises(errors.ServerBusy, match=r"this call waited 0\.5 s"):
        await Call(limited, 10).running
    running.release.set()
    await running.running


async def test_the_flood_of_one_principal_delays_another_by_one_call_and_leaves_it_room() -> None:
    limited = limiter.Limiter("calls", limit=1, max_waiting=10, wait_seconds=60)
    running = Call(limited, owner="flood")
    await running.is_running.wait()
    flood = [Call(limited, owner="flood") for _ in range(20)]
    await asyncio.wait(flood_tasks := [each.running for each in flood], return_when=asyncio.FIRST_COMPLETED)
    assert sum(not task.done() for task in flood_tasks) == 5
    other = Call(limited, owner="other")
    await asyncio.sleep(0)
    running.release.set()
    flood[0].release.set()
    await other.is_running.wait()
    assert not flood[1].is_running.is_set()
    for each in (*flood, other):
        each.release.set()
    ended = await asyncio.gather(other.running, *flood_tasks, return_exceptions=True)
    assert [str(error) for error in ended if error is not None] == [
        "The server handles 1 calls at a time, and too many are waiting. Nothing was changed; retry later."
    ] * 15


async def test_a_slot_that_is_passed_on_to_a_call_as_it_is_cancelled_goes_to_the_next() -> None:
    limited = limiter.Limiter("calls", limit=1, max_waiting=10, wait_seconds=60)
    running, next_, last = (Call(limited) for _ in range(3))
    await running.is_running.wait()
    await asyncio.sleep(0)
    running.release.set()
    while not running.running.done():  # noqa: ASYNC110 - a turn of the loop later it is
        await asyncio.sleep(0)
    next_.running.cancel()
    await last.is_running.wait()
    last.release.set()
    await last.running
    assert limited._free == 1
