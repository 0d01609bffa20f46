"""Controls: the checker detects each way to break Duetime on purpose."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import duetime_client
from tests.chaos import checker, rules_of_runs, scenario, world
from tests.chaos.conftest import Play, Show
from tests.support import clients, rows

pytestmark = pytest.mark.timeout(120)

_LOAD_SECONDS = 5.0
_SETTLE_SECONDS = world.LEASE_SECONDS + 5 * world.SWEEP_SECONDS
_LONG_SECONDS = 3600.0
"""The length of a run that no scenario waits for."""

Fault = Callable[[scenario.Scenario], Awaitable[None]]


async def nothing(scene: scenario.Scenario) -> None:
    await asyncio.sleep(_LOAD_SECONDS)


async def move_for_long(scene: scenario.Scenario) -> None:
    await asyncio.sleep(3 * _LOAD_SECONDS)  # few tasks leave a queue that is watched


async def lose_servers(scene: scenario.Scenario) -> None:
    for _ in range(2):
        await asyncio.sleep(_LOAD_SECONDS / 3)
        await scene.world.kill_server(0)


async def lose_a_worker(scene: scenario.Scenario) -> None:
    await asyncio.sleep(_LOAD_SECONDS / 2)
    await scene.world.kill_worker(0)
    await asyncio.sleep(_LOAD_SECONDS / 2)


async def lose_redis(scene: scenario.Scenario) -> None:
    await asyncio.sleep(_LOAD_SECONDS / 2)
    await scene.world.redis_proxy.cut()
    await asyncio.sleep(_LOAD_SECONDS / 2)


async def lose_postgres(scene: scenario.Scenario) -> None:
    # Runs that outlast the outage, however long PostgreSQL takes to start on a busy machine.
    async with duetime_client.AsyncClient(scene.world.target) as client:
        long = duetime_client.NewTask("chaos", clients.NOW, {"token": 0, "seconds": _LONG_SECONDS})
        task_ids = await client.create_many([long] * 50)
        await clients.reached(client, task_ids[-1], "started")
    async with scene.world.outage():
        await scene.world.postgres.kill()
        await asyncio.sleep(world.LEASE_SECONDS + world.SWEEP_SECONDS)
        await scene.world.postgres.start()


async def lock_a_task(scene: scenario.Scenario) -> None:
    async with duetime_client.AsyncClient(scene.world.target) as client:
        long = duetime_client.NewTask("chaos", clients.NOW, {"token": 0, "seconds": 3 * world.LEASE_SECONDS})
        task_ids = await client.create_many([long] * 20)
        for task_id in task_ids:
            await clients.reached(client, task_id, "started")
    async with await scene.world.connect() as connection, connection.transaction():
        await connection.execute(rows.lock(task_ids[0]).encode())
        await asyncio.sleep(world.LEASE_SECONDS + 2 * world.SWEEP_SECONDS)


async def silence_postgres(scene: scenario.Scenario) -> None:
    async with duetime_client.AsyncClient(scene.world.target) as client:
        long = duetime_client.NewTask("chaos", clients.NOW, {"token": 0, "seconds": 3 * world.LEASE_SECONDS})
        for task_id in await client.create_many([long] * 20):
            await clients.reached(client, task_id, "started")
    scene.world.note("silenced")
    scene.world.database_proxy.silence()
    await scene.world.start_workers(1)  # which reclaims tasks meanwhile
    await asyncio.sleep(2 * world.LEASE_SECONDS)


async def pause_a_worker(scene: scenario.Scenario) -> None:
    # Runs that are over when the paused worker continues, and not yet over where they were restarted.
    async with duetime_client.AsyncClient(scene.world.target) as client:
        long = duetime_client.NewTask("chaos", clients.NOW, {"token": 0, "seconds": world.LEASE_SECONDS})
        task_ids = await client.create_many([long] * 50)
        started = await clients.reached(client, task_ids[0], "started")
    pid = rules_of_runs.pid_of(started.actor)
    number = [worker.pid for worker in scene.world.workers].index(pid)
    await scene.world.pause_worker(number, seconds=world.LEASE_SECONDS + 2 * world.SWEEP_SECONDS)


@pytest.mark.parametrize(
    ("breakage", "fault", "rule"),
    [
        ("respond_before_commit", lose_servers, 1),
        ("poll_only_on_wakeups", lose_redis, 1),
        ("claim_early", nothing, 2),
        ("claim_without_guard", nothing, 3),
        ("record_without_fence", pause_a_worker, 3),
        ("forget_cancels", nothing, 4),
        ("forget_half_of_an_update", nothing, 5),
        ("forget_request_ids", nothing, 6),
        ("drop_changes", nothing, 7),
        ("forget_leaving", move_for_long, 7),
        ("reclaim_valid_leases", nothing, 8),
        ("ignore_outages", lose_postgres, 8),
        ("wait_for_silent_connections", silence_postgres, 8),
        ("wait_for_locked_tasks", lock_a_task, 8),
        ("reclaim_nothing", lose_a_worker, 9),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_breakage_breaks_its_rule(play: Play, show: Show, breakage: str, fault: Fault, rule: int) -> None:
    async with play(wrapper=("tests.chaos.breakages", breakage)) as scene:
        async with scene.load.running(filtered=True):
            await fault(scene)
        violations = checker.check(await scene.settled(seconds=_SETTLE_SECONDS))
        show(checker.report([violation for violation in violations if violation.rule == rule], most=3))
        assert rule in checker.broken_rules(violations), checker.report(violations)
