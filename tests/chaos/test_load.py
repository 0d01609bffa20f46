"""More tasks due at one moment than can start at it."""

import asyncio
import contextlib
import datetime
from collections.abc import Awaitable

import pytest

import duetime_client
from tests.chaos import clock, lateness
from tests.chaos.conftest import Play, Show
from tests.support import clients

pytestmark = pytest.mark.timeout(400)

SLOW_SECONDS = 0.25


async def test_many_tasks_due_at_the_same_moment(play: Play, show: Show, is_long: bool) -> None:
    count, ahead_seconds = (100_000, 40) if is_long else (25_000, 15)
    async with play() as scene:
        async with duetime_client.AsyncClient(scene.world.target) as client:
            moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=ahead_seconds)
            news = [duetime_client.NewTask("chaos", moment, {"token": 0}) for _ in range(count)]
            first, *_ = await client.create_many(news)
            due = scene.began.of(moment)
            show(f"created in {ahead_seconds - (due - clock.now()):.1f} s")
            assert clock.now() < due
            await asyncio.sleep(due - clock.now())
            creates, reads = [], []
            ending = asyncio.create_task(scene.ended(seconds=200))
            while not ending.done():
                creates.append(await _took(client.create("chaos", clients.NOW, {"token": 0})))
                reads.append(await _took(client.get(first)))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(ending), 0.02)
        found = await scene.settled()
        scene.require_sound(found)
        assert sum(row.status == "completed" for row in found.rows.values()) == count + len(creates)
        late = lateness.of(found)
        show(f"{count} tasks started within {late[-1]:.1f} s")
        for what, took in (("creates", sorted(creates)), ("reads", sorted(reads))):
            high = lateness.percentile(took, 99)
            show(f"{len(took)} {what} meanwhile: {1000 * high:.0f} ms at 99 %, {1000 * took[-1]:.0f} ms at most")
            assert high <= SLOW_SECONDS


async def _took(answer: Awaitable[object]) -> float:
    began = clock.now()
    await answer
    return clock.now() - began
