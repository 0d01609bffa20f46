"""Wrong clocks: of a worker, where only the database's clock counts, and of the database, which is stepped."""

import asyncio
import contextlib
import functools
import pathlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

import duetime_client
from tests.chaos import checker, clock, cluster, faults, lateness, recurring, rules_of_runs, scenario, world
from tests.chaos.conftest import Play, Show
from tests.support import clients

pytestmark = pytest.mark.timeout(300)

STEP_SECONDS = 300
"""By far more than a test takes, so that no time is shown twice."""
LONG_SECONDS = 3
"""How long a run takes that continues while the clock is stepped."""


@pytest.mark.parametrize("shift", [3600, -3600])
async def test_a_worker_whose_clock_is_an_hour_off(play: Play, show: Show, shift: int) -> None:
    async with play(workers=0) as scene:
        await scene.world.start_workers(1, variables=scene.world.wrong_clock(shift))
        await scene.world.start_workers(1)
        assert _clock_of(scene.world.workers[0].log[0]) != _clock_of(scene.world.workers[1].log[0])
        async with scene.load.running():
            await asyncio.sleep(6)
            await scene.world.terminate_worker(1)  # now it is alone
            await asyncio.sleep(6)
        found = await scene.settled()
        scene.require_sound(found)  # rule 2: no run is early
        lateness.require_on_time(found, show)


def _clock_of(line: str) -> str:
    """Returns the hour in which a line of a log was written."""
    return line.partition("timestamp=")[2].partition(":")[0]


@pytest_asyncio.fixture(scope="module")
async def unsteady(short_directory: pathlib.Path) -> AsyncIterator[cluster.Cluster]:
    """A PostgreSQL whose clock can be set."""
    running = cluster.Cluster(short_directory / "unsteady", has_own_clock=True)
    await running.start()
    await running.make_template()
    yield running
    await running.stop()


async def test_the_clock_of_the_database_steps_as_far_as_is_noted(
    unsteady: cluster.Cluster, tmp_path: pathlib.Path, seed: int
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        made = await world.make(tmp_path, unsteady)
        stack.push_async_callback(made.close)
        async with await made.connect() as connection:
            before = await clock.measure(connection)
            stepping = asyncio.create_task(faults.step_the_clock(made, random.Random(seed)))
            await asyncio.sleep(0)  # it has set the clock, and sleeps
            during = await clock.measure(connection)
            ((_, ahead),) = made.clock_steps
            await stepping
    assert during.seconds - before.seconds == pytest.approx(ahead, abs=before.error + during.error + 0.01)


async def _step(scene: scenario.Scenario, seconds: float) -> None:
    await _until_running(scene)
    with scene.world.stopped_briefly(0):  # it extends no lease before others have seen the step
        scene.world.set_clock(seconds)
        await asyncio.sleep(world.SWEEP_SECONDS)
    await asyncio.sleep(world.LEASE_SECONDS)
    scene.world.set_clock(0)


async def _until_running(scene: scenario.Scenario) -> None:
    """Returns once the first worker has a task that lasts."""
    first = scene.world.workers[0].pid
    async with _client(scene) as client:
        while True:
            task_id = await client.create("chaos", clients.NOW, {"token": 0, "seconds": LONG_SECONDS})
            started = await clients.reached(client, task_id, "started")
            if rules_of_runs.pid_of(started.actor) == first:
                return


async def _until_available(call: Callable[[], Awaitable[object]]) -> None:
    """Repeats a call whose connection ended: a step of the clock ends timeouts of sessions."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(duetime_client.errors.Unavailable):
                await call()
                return


async def test_the_clock_of_the_database_steps_forward_and_back(
    unsteady: cluster.Cluster, tmp_path: pathlib.Path, seed: int, show: Show
) -> None:
    async with scenario.playing(tmp_path, unsteady, seed=seed) as scene, _client(scene) as client:
        async with scene.load.running(), recurring.running(scene.world.target, catch_up="last") as schedule_ids:
            await asyncio.sleep(2)
            await _step(scene, STEP_SECONDS)
            for schedule_id in schedule_ids:  # which else are silent until the time that the clock has shown
                await _until_available(functools.partial(client.pause_schedule, schedule_id))
                await _until_available(functools.partial(client.resume_schedule, schedule_id))
            await asyncio.sleep(2)
            await _step(scene, -STEP_SECONDS)
            await asyncio.sleep(2)
        found = await scene.settled()
        scene.require_sound(found)  # rule 8: no lease was lost; rule 10: the schedules continued
        waiting = sum(found.waits_for_a_wrong_time(task_id) for task_id in found.rows)
        show(f"{len(found.runs)} runs; {waiting} tasks wait for a time that the wrong clock set")
        scene.world.require_all_alive()


async def test_the_checker_detects_leases_that_a_step_of_the_clock_ended(
    unsteady: cluster.Cluster, tmp_path: pathlib.Path, seed: int, show: Show
) -> None:
    wrapper = ("tests.chaos.breakages", "trust_the_clock")
    async with scenario.playing(tmp_path, unsteady, seed=seed, wrapper=wrapper) as scene:
        async with scene.load.running():
            await asyncio.sleep(world.LEASE_SECONDS)
            await _until_running(scene)
            with scene.world.stopped_briefly(0):
                scene.world.set_clock(STEP_SECONDS)
                await scene.world.workers[1].wait_for_log("reclaimed tasks of lost workers")
            scene.world.set_clock(0)
        violations = checker.check(await scene.settled(seconds=recurring.SETTLE_SECONDS))
        show(checker.report([violation for violation in violations if violation.rule == 8], most=3))
        assert 8 in checker.broken_rules(violations), checker.report(violations)


def _client(scene: scenario.Scenario) -> duetime_client.AsyncClient:
    return duetime_client.AsyncClient(scene.world.target)
