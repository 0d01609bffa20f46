"""Gates: who goes in, who waits, and who is refused."""

import asyncio

import pytest

from duetime_core.model import errors
from duetime_server.rpc import limiter


class Visitor:
    """Goes through a gate and stays inside until it is told to leave."""

    def __init__(self, through: limiter.Limiter, size: int = 1) -> None:
        self._through, self._size = through, size
        self.is_inside, self.leave = asyncio.Event(), asyncio.Event()
        self.visit = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async with self._through.entered(self._size):
            self.is_inside.set()
            await self.leave.wait()


async def test_as_many_are_inside_as_may_be_and_the_next_goes_in_when_one_leaves() -> None:
    through = limiter.Limiter("visits", most=2, room=10, patience=5)
    visitors = [Visitor(through) for _ in range(4)]
    await visitors[1].is_inside.wait()
    assert [each.is_inside.is_set() for each in visitors] == [True, True, False, False]
    visitors[2].visit.cancel()  # a caller who hangs up while it waits
    visitors[0].leave.set()
    await visitors[3].is_inside.wait()
    visitors[1].visit.cancel()  # one who hangs up inside
    late = Visitor(through)
    await late.is_inside.wait()
    for each in (visitors[3], late):
        each.leave.set()
        await each.visit


async def test_who_waits_too_long_is_refused_and_who_comes_to_a_full_line_at_once() -> None:
    through = limiter.Limiter("visits", most=1, room=10, patience=0.5)
    inside = Visitor(through, 1_000)  # whatever its size: it does not wait
    await inside.is_inside.wait()
    waiting = Visitor(through, 10)
    await asyncio.sleep(0)
    with pytest.raises(errors.ServerBusy, match="answers 1 visits at a time, and too many wait already"):
        await Visitor(through).visit
    waiting.visit.cancel()
    await asyncio.wait([waiting.visit])
    with pytest.raises(errors.ServerBusy, match=r"this one waited 0\.5 s"):
        await Visitor(through, 10).visit
    inside.leave.set()
    await inside.visit
