"""Schedules, whatever happens: no occurrence is lost or doubled."""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator

import pytest

import duetime_client
from tests.chaos import checker, evidence, faults, scenario, world
from tests.chaos.conftest import Play, Tell

pytestmark = pytest.mark.timeout(300)

SCHEDULES = 10
SECOND = datetime.timedelta(seconds=1)
SETTLE_SECONDS = world.LEASE_SECONDS + 3 * world.SWEEP_SECONDS


@contextlib.asynccontextmanager
async def recurring(scene: scenario.Scenario) -> AsyncIterator[list[int]]:
    """Has schedules run each second while the block goes on, and for as long after it as they need to catch up."""
    template = duetime_client.TaskTemplate("chaos", {"token": 0, "seconds": 0.02})
    async with duetime_client.AsyncClient(scene.world.target) as client:
        made = [
            await client.create_schedule(f"schedule {number}", template, interval=SECOND, catch_up="all")
            for number in range(SCHEDULES)
        ]
        schedule_ids = [each.schedule_id for each in made]
        yield schedule_ids
        await asyncio.sleep(SETTLE_SECONDS)
        for schedule_id in schedule_ids:
            await client.pause_schedule(schedule_id)


def require_all(scene: scenario.Scenario, found: evidence.Evidence, tell: Tell) -> None:
    """Fails if a rule is broken, or if nothing recurred."""
    recurred = sum(1 for row in found.rows.values() if row.schedule_id is not None and row.deleted_at is None)
    tell(f"{recurred} occurrences of {SCHEDULES} schedules")
    assert recurred > 10 * SCHEDULES
    scene.require_sound(found)


async def test_workers_that_are_killed_and_started_again(play: Play, tell: Tell) -> None:
    async with play() as scene:
        async with recurring(scene):
            for _ in range(6):
                await asyncio.sleep(1.5)
                await scene.world.kill_worker(0)
                await scene.world.start_workers(1)
        require_all(scene, await scene.settled(), tell)


async def test_a_postgres_that_is_killed(play: Play, tell: Tell) -> None:
    async with play() as scene:
        async with recurring(scene):
            for _ in range(2):
                await asyncio.sleep(3)
                async with scene.world.outage():
                    await scene.world.postgres.kill()
                    await asyncio.sleep(1)
                    await scene.world.postgres.start()
        require_all(scene, await scene.settled(), tell)


async def test_a_redis_that_is_killed_and_a_worker_whose_clock_is_off(play: Play, tell: Tell) -> None:
    async with play(workers=1) as scene:
        await scene.world.start_workers(1, variables=faults.wrong_clock("+1h"))
        async with recurring(scene):
            await asyncio.sleep(3)
            await scene.world.kill_redis()
            await asyncio.sleep(3)
            await scene.world.start_redis()
            await asyncio.sleep(3)
        require_all(scene, await scene.settled(), tell)


async def test_schedules_that_are_paused_and_resumed_while_workers_die(play: Play, tell: Tell) -> None:
    async with play() as scene:
        async with recurring(scene) as schedule_ids, duetime_client.AsyncClient(scene.world.target) as client:
            for schedule_id in schedule_ids:
                await asyncio.sleep(0.7)
                await client.pause_schedule(schedule_id)
                await asyncio.sleep(0.5)
                await client.resume_schedule(schedule_id)
                if schedule_id % 3 == 0:
                    await scene.world.kill_worker(0)
                    await scene.world.start_workers(1)
        require_all(scene, await scene.settled(), tell)


async def test_the_checker_sees_an_occurrence_that_is_lost(play: Play, tell: Tell) -> None:
    async with play(wrapper=("tests.chaos.breakages", "forget_what_comes_next")) as scene:
        async with recurring(scene):
            await asyncio.sleep(10)
        violations = checker.check(await scene.settled(seconds=SETTLE_SECONDS))
        tell(checker.report(violations, most=3))
        assert 10 in checker.broken_rules(violations)
