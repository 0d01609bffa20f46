"""Schedules under faults: no occurrence is lost or doubled."""

import asyncio

import pytest

import duetime_client
from tests.chaos import checker, evidence, recurring, scenario
from tests.chaos.conftest import Play, Show

pytestmark = pytest.mark.timeout(300)


def require_all(scene: scenario.Scenario, found: evidence.Evidence, show: Show, *, least_runs: int = 100) -> None:
    """Fails if a rule is broken, or if there were too few occurrences or runs of them."""
    recurred = sum(1 for row in found.rows.values() if row.schedule_id is not None and row.deleted_at is None)
    show(f"{recurred} occurrences of {recurring.SCHEDULES} schedules")
    assert recurred > 10 * recurring.SCHEDULES
    scene.require_sound(found, least_runs=least_runs)


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
        await scene.world.start_workers(1, variables=scene.world.wrong_clock(3600))
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


async def _edit_while_all_die(scene: scenario.Scenario, seed: int) -> None:
    async with (
        recurring.running(scene.world.target) as schedule_ids,
        recurring.edited(scene.world.target, schedule_ids, scene.intervals, seed),
    ):
        await asyncio.sleep(2)
        for _ in range(2):
            await asyncio.gather(*(scene.world.kill_worker(0) for _ in range(2)))
            await asyncio.sleep(1.5)  # occurrences are due, and no worker advances their schedules
            await scene.world.start_workers(2)
            await asyncio.sleep(1)
        async with scene.world.outage():
            await scene.world.postgres.kill()
            await scene.world.postgres.start()
        await asyncio.sleep(2)


async def test_schedules_are_edited_while_workers_and_postgres_die(play: Play, show: Show, seed: int) -> None:
    async with play() as scene:
        await _edit_while_all_die(scene, seed)
        found = await scene.settled()
        require_all(scene, found, show, least_runs=50)  # callers cancel and delete many
        skipped = sum(len(each.skipped) for each in found.schedules)
        show(f"{len(scene.intervals)} versions of the schedules, and {skipped} rows of what they skipped")
        assert len(scene.intervals) > 3 * recurring.SCHEDULES


async def test_the_checker_detects_skips_that_are_not_logged(play: Play, show: Show, seed: int) -> None:
    async with play(wrapper=("tests.chaos.breakages", "forget_skips")) as scene:
        await _edit_while_all_die(scene, seed)
        violations = checker.check(await scene.settled(seconds=recurring.SETTLE_SECONDS))
        show(checker.report([violation for violation in violations if violation.rule == 10], most=3))
        assert 10 in checker.broken_rules(violations)


async def test_the_checker_detects_a_lost_occurrence(play: Play, show: Show) -> None:
    async with play(wrapper=("tests.chaos.breakages", "forget_next_occurrences")) as scene:
        async with recurring.running(scene.world.target):
            await asyncio.sleep(10)
        violations = checker.check(await scene.settled(seconds=recurring.SETTLE_SECONDS))
        show(checker.report(violations, most=3))
        assert 10 in checker.broken_rules(violations)
