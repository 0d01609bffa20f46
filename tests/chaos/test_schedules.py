"""Schedules under faults: no occurrence is lost or doubled."""

import asyncio

import pytest

import duetime_client
from tests.chaos import checker, evidence, faults, recurring, scenario
from tests.chaos.conftest import Play, Show

pytestmark = pytest.mark.timeout(300)


def require_all(scene: scenario.Scenario, found: evidence.Evidence, show: Show) -> None:
    """Fails if a rule is broken, or if there were too few occurrences."""
    recurred = sum(1 for row in found.rows.values() if row.schedule_id is not None and row.deleted_at is None)
    show(f"{recurred} occurrences of {recurring.SCHEDULES} schedules")
    assert recurred > 10 * recurring.SCHEDULES
    scene.require_sound(found)


async def test_workers_are_killed_and_restarted(play: Play, show: Show) -> None:
    async with play() as scene:
        async with recurring.running(scene.world.target):
            for _ in range(6):
                await asyncio.sleep(1.5)
                await scene.world.kill_worker(0)
                await scene.world.start_workers(1)
        require_all(scene, await scene.settled(), show)


async def test_postgres_is_killed_and_restarted(play: Play, show: Show) -> None:
    async with play() as scene:
        async with recurring.running(scene.world.target):
            for _ in range(2):
                await asyncio.sleep(3)
                async with scene.world.outage():
                    await scene.world.postgres.kill()
                    await asyncio.sleep(1)
                    await scene.world.postgres.start()
        require_all(scene, await scene.settled(), show)


async def test_redis_is_killed_and_the_clock_of_a_worker_is_wrong(play: Play, show: Show) -> None:
    async with play(workers=1) as scene:
        await scene.world.start_workers(1, variables=faults.wrong_clock("+1h"))
        async with recurring.running(scene.world.target):
            await asyncio.sleep(3)
            await scene.world.kill_redis()
            await asyncio.sleep(3)
            await scene.world.start_redis()
            await asyncio.sleep(3)
        require_all(scene, await scene.settled(), show)


async def test_schedules_are_paused_and_resumed_while_workers_die(play: Play, show: Show) -> None:
    async with play() as scene:
        async with (
            recurring.running(scene.world.target) as schedule_ids,
            duetime_client.AsyncClient(scene.world.target) as client,
        ):
            for schedule_id in schedule_ids:
                await asyncio.sleep(0.7)
                await client.pause_schedule(schedule_id)
                await asyncio.sleep(0.5)
                await client.resume_schedule(schedule_id)
                if schedule_id % 3 == 0:
                    await scene.world.kill_worker(0)
                    await scene.world.start_workers(1)
        require_all(scene, await scene.settled(), show)


async def test_the_checker_detects_a_lost_occurrence(play: Play, show: Show) -> None:
    async with play(wrapper=("tests.chaos.breakages", "forget_next_occurrences")) as scene:
        async with recurring.running(scene.world.target):
            await asyncio.sleep(10)
        violations = checker.check(await scene.settled(seconds=recurring.SETTLE_SECONDS))
        show(checker.report(violations, most=3))
        assert 10 in checker.broken_rules(violations)
