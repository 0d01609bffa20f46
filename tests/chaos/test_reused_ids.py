"""Ids of transactions that rolled back, which PostgreSQL gives again after a crash: no watch counts them as read."""

import asyncio

import pytest

import duetime_client
from tests.chaos import checker, faults, scenario
from tests.chaos.conftest import Play, Show
from tests.support import clients

pytestmark = pytest.mark.timeout(300)

CREATES = 20


async def _lose_what_rolled_back(scene: scenario.Scenario) -> None:
    async with scene.load.running():
        await asyncio.sleep(2)
    while scene.world.workers:  # whose commits would keep the ids that rolled back before
        await scene.world.terminate_worker(0)
    await asyncio.sleep(2)  # by then no server notes a mark
    await faults.roll_back_transactions(scene.world)
    await scene.load.watchers.watch_from_now()
    async with scene.world.outage():
        await scene.world.postgres.kill()
        await scene.world.postgres.start()
    async with duetime_client.AsyncClient(scene.world.target) as client:
        for _ in range(CREATES):
            await client.create("chaos", clients.NOW, {"token": 0})
    await scene.world.start_workers(2)


async def test_a_crash_after_rollbacks_hides_no_change_from_watches(play: Play) -> None:
    async with play() as scene:
        await _lose_what_rolled_back(scene)
        scene.require_sound(await scene.settled(), least_runs=CREATES)


async def test_the_checker_detects_a_cursor_that_counts_rollbacks(play: Play, show: Show) -> None:
    async with play(wrapper=("tests.chaos.breakages", "count_rollbacks")) as scene:
        await _lose_what_rolled_back(scene)
        violations = checker.check(await scene.settled(seconds=10))
        show(checker.report([violation for violation in violations if violation.rule == 7], most=3))
        assert 7 in checker.broken_rules(violations), checker.report(violations)
