"""Faults of workers: killed, stopped, and with poison tasks."""

import asyncio

import pytest

import duetime_client
from duetime_core.process import background
from tests.chaos import clock, evidence, lateness, rules_of_runs, scenario, world
from tests.chaos.conftest import Play, Show
from tests.support import clients

pytestmark = pytest.mark.timeout(300)

AGAIN_SECONDS = world.LEASE_SECONDS + world.SWEEP_SECONDS
SLACK_SECONDS = 1.0
"""What a busy machine with two cores may add."""
WATCHFUL_SECONDS = world.LEASE_SECONDS / 3 + world.SWEEP_SECONDS
"""From then on a new worker reclaims tasks of lost workers; see `duetime_worker.lease_guard`."""


def after_kills(found: evidence.Evidence) -> tuple[list[float], list[float]]:
    """Returns, sorted, how long after the kill of its worker each task was reclaimed, and how long after it ran again.

    The second only for tasks that lost one lease in a row: after more a task is quarantined, and waits its turn.
    """
    killed = {incident.pid: incident.since for incident in found.incidents if incident.what == "killed"}
    reclaimed, ran_again = [], []
    for logs in found.logs.values():
        in_a_row = 0
        for started, lost, again in zip(logs, logs[1:], [*logs[2:], None], strict=False):
            if rules_of_runs.is_loss(started, lost):
                in_a_row += 1
                kill = killed[rules_of_runs.pid_of(started.actor)]
                reclaimed.append(found.offset.of(lost.timestamp) - kill)
                if in_a_row == 1 and again is not None and again.change == "started":
                    ran_again.append(found.offset.of(again.timestamp) - kill)
            elif lost.change not in ("started", "released"):
                in_a_row = 0
    return sorted(reclaimed), sorted(ran_again)


def require_prompt(found: evidence.Evidence, show: Show, *, restart_seconds: float = 0) -> None:
    """Fails if a task ran again later than a lease and a sweep after its worker was killed.

    If all workers were killed, the new ones must start first, which took `restart_seconds`.
    """
    limit = max(AGAIN_SECONDS, restart_seconds + WATCHFUL_SECONDS) + SLACK_SECONDS
    reclaimed, ran_again = after_kills(found)
    show(f"{len(reclaimed)} leases lost, reclaimed {reclaimed[-1]:.2f} s after the kill at the latest")
    show(f"{len(ran_again)} tasks ran again {ran_again[-1]:.2f} s after the kill at the latest")
    assert reclaimed[-1] < limit
    assert ran_again[-1] < limit


async def test_kill_9_of_one_of_two_workers_in_mid_task(play: Play, show: Show, is_long: bool) -> None:
    async with play() as scene:
        async with scene.load.running():
            for _ in range(20 if is_long else 6):
                await asyncio.sleep(WATCHFUL_SECONDS)  # or neither might live long enough to reclaim tasks
                await scene.world.kill_worker(0)
                await scene.world.start_workers(1)
        found = await scene.settled()
        scene.require_sound(found)
        require_prompt(found, show)


async def test_kill_9_of_all_workers_and_a_restart(play: Play, show: Show) -> None:
    restarts = []
    async with play() as scene:
        async with scene.load.running():
            for _ in range(3):
                await asyncio.sleep(AGAIN_SECONDS + 2)  # by then all lost tasks run again
                killed = clock.now()
                await asyncio.gather(*(scene.world.kill_worker(0) for _ in range(2)))
                await scene.world.start_workers(2)
                restarts.append(clock.now() - killed)
        found = await scene.settled()
        scene.require_sound(found)
        show(f"the workers were replaced within {max(restarts):.2f} s")
        require_prompt(found, show, restart_seconds=max(restarts))


async def test_a_rolling_restart_of_all_workers_under_load(play: Play, show: Show, is_long: bool) -> None:
    async with play() as scene:
        async with scene.load.running():
            for _ in range(10 if is_long else 4):
                for _ in range(2):
                    await asyncio.gather(scene.world.terminate_worker(0), scene.world.start_workers(1))
        found = await scene.settled()
        scene.require_sound(found)
        lateness.require_on_time(found, show, seconds_of_most=1.5)
        assert not any(log.change == "lease_lost" for logs in found.logs.values() for log in logs)


async def test_sigterm_and_a_handler_that_does_not_end(play: Play, show: Show) -> None:
    grace = 1.0
    async with play(workers=0) as scene, duetime_client.AsyncClient(scene.world.target) as client:
        await scene.world.start_workers(1, grace_period=f"PT{grace}S")
        task_id = await client.create("endless", clients.NOW, {"token": 0}, max_retries=0)
        await clients.reached(client, task_id, "started")
        async with asyncio.timeout(grace + 3):
            await scene.world.terminate_worker(0)
        released = await client.get(task_id)
        assert (released.status, released.retry_count) == (duetime_client.Status.PENDING, 0)
        assert await clients.changes(client, task_id) == ["created", "started", "released"]
        await client.cancel(task_id)
        scene.require_sound(await scene.settled(), least_runs=1)


async def test_a_poison_task_among_199_good_ones(play: Play, show: Show) -> None:
    async with play(workers=0) as scene, duetime_client.AsyncClient(scene.world.target) as client:
        news = [
            duetime_client.NewTask("chaos", clients.NOW, {"token": number, "seconds": 0.5}) for number in range(199)
        ]
        news.insert(100, duetime_client.NewTask("poison", clients.NOW, {"token": 0}))
        task_ids = await client.create_many(news)
        poisonous, good = task_ids[100], [*task_ids[:100], *task_ids[101:]]
        keeping = asyncio.create_task(_keep_two_workers(scene))
        failed = await clients.finished(client, poisonous, seconds=120)
        done = [await clients.finished(client, task_id, seconds=60) for task_id in good]
        await background.end([keeping])
        assert failed.status is duetime_client.Status.FAILED
        assert failed.retry_count == failed.max_retries
        assert "lost" in failed.error_message
        show(failed.error_message)
        assert {each.status for each in done} == {duetime_client.Status.COMPLETED}
        show(f"good tasks were retried {max(each.retry_count for each in done)} times at most")
        scene.require_sound(await scene.settled())


async def _keep_two_workers(scene: scenario.Scenario) -> None:
    """Restarts each worker that dies, as a supervisor does."""

    async def keep() -> None:
        while True:
            worker = await scene.world.start_worker()
            incident = scene.world.note("killed", worker)  # at any time from now on
            await worker.ended(seconds=300)
            incident.until = clock.now()

    await asyncio.gather(keep(), keep())
