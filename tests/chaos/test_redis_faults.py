"""Faults of Redis: emptied, killed, gone, cut off at the worst moment, and filled with copies."""

import asyncio
import contextlib

import pytest
import redis.asyncio

import duetime_client
from tests.chaos import clock, faults, history, lateness, proxy
from tests.chaos.conftest import Play, Tell

pytestmark = pytest.mark.timeout(300)

NOISE_SECONDS = 0.15
"""What other tests beside this one may add to a create at any time: they change during the two minutes. A create that
waited for Redis would take a second more, which is how long commands to it may take."""


async def test_kill_9_of_redis_and_a_restart_with_nothing_in_it(play: Play, tell: Tell) -> None:
    async with play() as scene:
        async with scene.load.running():
            for _ in range(4):
                await asyncio.sleep(2)
                await scene.world.kill_redis()
                await asyncio.sleep(1)
                await scene.world.start_redis()
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, tell)
        scene.world.require_all_alive()


async def test_flushall_every_five_seconds_for_a_minute(play: Play, tell: Tell) -> None:
    async with play() as scene:
        async with (
            scene.load.running(),
            redis.asyncio.Redis(unix_socket_path=str(scene.world.redis_path)) as connection,
        ):
            for _ in range(12):
                await asyncio.sleep(5)
                await connection.flushall()
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, tell)
        scene.world.require_all_alive()


def _creates(found_calls: list[history.Call], since: float, until: float) -> list[float]:
    return sorted(
        call.returned - call.invoked
        for call in found_calls
        if call.kind is history.Kind.CREATE and call.returned is not None and since <= call.invoked < until
    )


async def test_redis_gone_for_two_minutes(play: Play, tell: Tell) -> None:
    async with play() as scene:
        seen_late = 0.0
        async with scene.load.running(), duetime_client.AsyncClient(scene.world.target) as client:
            began = clock.now()
            await asyncio.sleep(20)
            gone = clock.now()
            await scene.world.kill_redis()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(120), client.watch_all() as changes:
                    async for event in changes:
                        seen_late = max(clock.now() - scene.began.of(event.change.timestamp), seen_late)
            back = clock.now()
            await scene.world.start_redis()
            await asyncio.sleep(5)
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, tell)
        tell(f"changes were seen {seen_late:.3f} s late at most")
        assert 0 < seen_late <= lateness.LATE_SECONDS
        before = lateness.percentile(_creates(found.calls, began, gone), 99)
        meanwhile = lateness.percentile(_creates(found.calls, gone, back), 99)
        tell(f"creates took {1000 * before:.1f} ms at 99 %, and without Redis {1000 * meanwhile:.1f} ms")
        assert meanwhile <= 2 * max(before, NOISE_SECONDS)
        scene.world.require_all_alive()


async def test_the_connection_drops_before_the_exec_of_a_wakeup(play: Play, tell: Tell) -> None:
    def judge(piece: bytes) -> proxy.Fate:
        # redis-py sends MULTI, what is in between and EXEC in one piece.
        return proxy.Fate.CUT_BEFORE if b"MULTI" in piece and b"arq:job:wakeup" in piece else proxy.Fate.PASS

    async with play() as scene:
        async with scene.load.running():
            scene.world.redis_proxy.judge = judge
            await asyncio.sleep(15)
            scene.world.redis_proxy.spare()
        found = await scene.settled()
        scene.require_sound(found)
        tell(f"{scene.world.redis_proxy.cuts} connections cut before EXEC")
        lateness.require_on_time(found, tell)
        assert scene.world.redis_proxy.cuts > 10
        scene.world.require_all_alive()


async def test_ten_copies_of_one_wakeup_bring_no_extra_run(play: Play, tell: Tell) -> None:
    async with play() as scene:
        async with scene.load.running():
            copies = await faults.copy_wakeups(scene.world, seconds=10)
        found = await scene.settled()
        scene.require_sound(found)  # rule 8: one run a claim
        tell(f"{copies} copies of wakeups, {len(found.runs)} runs")
        assert copies > 500
