"""Faults of Redis: flushed, killed, unavailable, disconnected at the worst moment, and filled with copies."""

import asyncio
import contextlib

import pytest
import redis.asyncio

import duetime_client
from tests.chaos import clock, faults, history, lateness, proxy
from tests.chaos.conftest import Play, Show

pytestmark = pytest.mark.timeout(300)

NOISE_SECONDS = 0.15
"""What parallel tests, which change meanwhile, may add to a create. A create that waited for Redis would
take a second longer, the timeout of its commands."""


async def test_kill_9_of_redis_and_an_empty_restart(play: Play, show: Show) -> None:
    async with play() as scene:
        async with scene.load.running():
            for _ in range(4):
                await asyncio.sleep(2)
                await scene.world.kill_redis()
                await asyncio.sleep(1)
                await scene.world.start_redis()
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, show)
        scene.world.require_all_alive()


async def test_flushall_every_five_seconds(play: Play, show: Show, is_long: bool) -> None:
    async with play() as scene:
        async with (
            scene.load.running(),
            redis.asyncio.Redis(unix_socket_path=str(scene.world.redis_path)) as connection,
        ):
            for _ in range(12 if is_long else 4):
                await asyncio.sleep(5)
                await connection.flushall()
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, show)
        scene.world.require_all_alive()


def _creates(found_calls: list[history.Call], since: float, until: float) -> list[float]:
    return sorted(
        call.returned - call.invoked
        for call in found_calls
        if call.kind is history.Kind.CREATE and call.returned is not None and since <= call.invoked < until
    )


async def test_redis_is_unavailable(play: Play, show: Show, is_long: bool) -> None:
    async with play() as scene:
        seen_late = 0.0
        async with scene.load.running(), duetime_client.AsyncClient(scene.world.target) as client:
            began = clock.now()
            await asyncio.sleep(20 if is_long else 10)
            lost = clock.now()
            await scene.world.kill_redis()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(120 if is_long else 25), client.watch_all() as changes:
                    async for event in changes:
                        seen_late = max(clock.now() - scene.began.of(event.change.timestamp), seen_late)
            back = clock.now()
            await scene.world.start_redis()
            await asyncio.sleep(5)
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, show)
        show(f"changes were seen {seen_late:.3f} s late at most")
        assert 0 < seen_late <= lateness.LATE_SECONDS
        before = lateness.percentile(_creates(found.calls, began, lost), 99)
        meanwhile = lateness.percentile(_creates(found.calls, lost, back), 99)
        show(f"creates took {1000 * before:.1f} ms at 99 %, and without Redis {1000 * meanwhile:.1f} ms")
        assert meanwhile <= 2 * max(before, NOISE_SECONDS)
        scene.world.require_all_alive()


async def test_the_connection_breaks_before_the_exec_of_a_wakeup(play: Play, show: Show) -> None:
    def judge(chunk: bytes) -> proxy.Fate:
        # redis-py sends MULTI, the commands and EXEC in one chunk.
        return proxy.Fate.CUT_BEFORE if b"MULTI" in chunk and b"arq:job:" in chunk else proxy.Fate.PASS

    async with play() as scene:
        async with scene.load.running():
            scene.world.redis_proxy.judge = judge
            await asyncio.sleep(8)
            scene.world.redis_proxy.spare()
        found = await scene.settled()
        scene.require_sound(found)
        show(f"{scene.world.redis_proxy.cuts} connections cut before EXEC")
        lateness.require_on_time(found, show)
        assert scene.world.redis_proxy.cuts > 10
        scene.world.require_all_alive()


async def test_ten_copies_of_a_wakeup_cause_no_extra_run(play: Play, show: Show) -> None:
    async with play() as scene:
        async with scene.load.running():
            copies = await faults.copy_wakeups(scene.world, seconds=6)
        found = await scene.settled()
        scene.require_sound(found)  # rule 8: one run a claim
        show(f"{copies} copies of wakeups, {len(found.runs)} runs")
        assert copies > 300
