"""Faults of PostgreSQL and its connections: killed, broken during commit, out of disk, and with an older schema."""

import asyncio
import os
import pathlib
import random
import sys
from collections.abc import AsyncIterator

import alembic.command
import pytest
import pytest_asyncio

import duetime_client
from duetime_core import migrate
from duetime_core.postgres import database
from duetime_stack import roles
from tests.chaos import clock, cluster, faults, history, lateness, proxy, scenario
from tests.chaos.conftest import Play, Show
from tests.support import clients, processes

pytestmark = pytest.mark.timeout(300)

RESUME_SECONDS = 5.0
HANG_SECONDS = 10.0
"""The client's own timeout: a call that takes that long had no response."""


async def test_kill_9_of_postgresql_under_load_and_a_restart(play: Play, show: Show) -> None:
    async with play() as scene:
        async with scene.load.running():
            resumed = []
            for _ in range(3):
                await asyncio.sleep(3)
                async with scene.world.outage():
                    await scene.world.postgres.kill()
                    refused = await _refusal(scene)
                    await scene.world.postgres.start()
                    back = clock.now()
                resumed.append(await _works_again(scene) - back)
        found = await scene.settled()
        scene.require_sound(found)
        show(f"callers received an error after {refused[0]:.2f} s: {refused[1]}")
        assert refused[0] < HANG_SECONDS
        show(f"tasks ran again {max(resumed):.2f} s after PostgreSQL recovered at the latest")
        assert max(resumed) <= RESUME_SECONDS
        scene.world.require_all_alive()


async def test_postgresql_freezes_and_resumes(play: Play, show: Show) -> None:
    async with play() as scene:
        async with scene.load.running():
            await asyncio.sleep(3)
            async with scene.world.outage():
                scene.world.postgres.freeze()
                try:
                    refused = await _refusal(scene)
                finally:
                    scene.world.postgres.thaw()
                back = clock.now()
            resumed = await _works_again(scene) - back
            await asyncio.sleep(2)
        found = await scene.settled()
        scene.require_sound(found)
        show(f"callers received an error after {refused[0]:.2f} s: {refused[1]}")
        assert refused[0] < HANG_SECONDS
        show(f"tasks ran again {resumed:.2f} s after PostgreSQL resumed")
        assert resumed <= RESUME_SECONDS
        scene.world.require_all_alive()


@pytest.mark.parametrize("fault", [faults.silence_postgres, faults.lock_running_tasks, faults.hold_a_snapshot])
async def test_workers_keep_their_leases_while_others_use_postgresql_badly(
    play: Play, show: Show, seed: int, fault: faults.Fault
) -> None:
    choose = random.Random(seed)
    async with play() as scene:
        async with scene.load.running():
            for _ in range(3):
                await asyncio.sleep(4)
                await fault(scene.world, choose)
            await asyncio.sleep(4)  # callers on silent connections wait for their deadlines
        found = await scene.settled()
        scene.require_sound(found)  # no lease was lost: there is no incident that would explain it
        show(f"{len(found.runs)} runs")
        scene.world.require_all_alive()


async def _refusal(scene: scenario.Scenario) -> tuple[float, str]:
    """Returns how long a caller waits for an error while PostgreSQL is unavailable, and the error."""
    began = clock.now()
    with pytest.raises(duetime_client.errors.Unavailable) as error_received:
        async with duetime_client.AsyncClient(scene.world.servers[0].address) as client:
            await client.retry(1)  # which the client does not repeat by itself
    assert error_received.value.reason == "STORE_UNAVAILABLE"
    return clock.now() - began, str(error_received.value)


async def _works_again(scene: scenario.Scenario) -> float:
    """Returns when a task that is created now has ended."""
    async with asyncio.timeout(30), duetime_client.AsyncClient(scene.world.target) as client:
        while True:
            try:
                task_id = await client.create("chaos", clients.NOW, {"token": 0})
                await clients.finished(client, task_id)
            except duetime_client.DuetimeError:
                continue
            return clock.now()


async def test_the_connection_breaks_during_commit(play: Play, show: Show, seed: int, is_long: bool) -> None:
    choose = random.Random(seed)

    def judge(chunk: bytes) -> proxy.Fate:
        # A single statement commits as it ends, so any chunk may be a commit; batches of creates send COMMIT.
        if choose.random() < (0.5 if b"COMMIT" in chunk else 0.03):
            return choose.choice([proxy.Fate.CUT_BEFORE, proxy.Fate.CUT_AFTER])
        return proxy.Fate.PASS

    async with play() as scene:
        async with scene.load.running():
            await asyncio.sleep(2)
            async with scene.world.outage("cut"):
                scene.world.database_proxy.judge = judge
                await asyncio.sleep(20 if is_long else 10)
                scene.world.database_proxy.spare()
        found = await scene.settled()
        scene.require_sound(found)
        unknown = [call for call in found.calls if call.outcome is history.Outcome.UNKNOWN]
        show(f"{scene.world.database_proxy.cuts} connections cut; {len(unknown)} calls without an answer")
        assert scene.world.database_proxy.cuts > 50
        assert unknown
        scene.world.require_all_alive()


@pytest_asyncio.fixture
async def small_cluster(short_directory: pathlib.Path) -> AsyncIterator[cluster.Cluster]:
    """A PostgreSQL on a disk of 160 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a tmpfs, which is the small disk")
    disk = short_directory / "small"
    disk.mkdir()
    await _run("mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", str(disk))
    try:
        running = cluster.Cluster(disk / "postgres")
        await running.start()
        await running.make_template()
        yield running
        await running.stop()
    finally:
        await _run("umount", "--lazy", str(disk))


async def test_the_disk_of_postgresql_fills_and_is_freed(
    small_cluster: cluster.Cluster, tmp_path: pathlib.Path, seed: int, show: Show
) -> None:
    async with scenario.playing(tmp_path, small_cluster, seed=seed) as scene:
        async with scene.load.running():
            await asyncio.sleep(4)
            async with scene.world.outage():
                ballast = small_cluster.fill_disk()
                error_received = await _first_refusal(scene)
                await asyncio.sleep(8)
                ballast.unlink()
                restarted = await small_cluster.ensure_running()
            back = clock.now()
            resumed = await _works_again(scene) - back
            await asyncio.sleep(3)
        found = await scene.settled()
        scene.require_sound(found)
        show(f"callers received {error_received}")
        assert error_received.startswith("STORE_UNAVAILABLE")
        show(f"PostgreSQL {'ended and was restarted' if restarted else 'continued by itself'}")
        show(f"tasks ran again {resumed:.2f} s later")
        scene.world.require_all_alive()


async def _first_refusal(scene: scenario.Scenario) -> str:
    """Fills the disk with tasks until a create fails; returns the error."""
    async with asyncio.timeout(60), duetime_client.AsyncClient(scene.world.servers[0].address) as client:
        while True:
            try:
                await client.create("chaos", clients.NOW, {"token": 0, "ballast": "x" * 200_000})
            except duetime_client.errors.Unavailable as error:
                return f"{error.reason}: {error}"


@pytest.mark.parametrize("revision", ["-1", "0001"], ids=["the one before", "the first"])
async def test_migrations_from_a_previous_schema_while_tasks_are_pending(play: Play, show: Show, revision: str) -> None:
    async with play(workers=1) as scene:
        async with scene.load.running():
            await asyncio.sleep(2)
            await scene.world.kill_worker(0)
            await asyncio.sleep(2)
        for server in scene.world.servers:
            server.terminate()
            await server.ended()
        # A schema without the histories of the feed forgets them: cursors from before are refused afterwards.
        await scene.load.watchers.close()
        scene.load.watchers.seen.clear()
        url = scene.world.postgres.url(scene.world.database)
        await _downgrade(url, revision)
        await _run(
            sys.executable,
            "-m",
            "duetime_core.migrate",
            DUETIME_DATABASE_URL=url,
            DUETIME_APPLICATION_ROLE=roles.APPLICATION,
        )
        addresses = [server.address for server in scene.world.servers]
        scene.world.servers = [await scene.world.starter.server(address=address) for address in addresses]
        await scene.world.start_workers(1)
        found = await scene.settled()
        scene.require_sound(found)
        waited = sum(1 for late in lateness.of(found) if late > 1)
        show(f"{waited} tasks waited for the migration")
        assert waited > 0


async def _run(*command: str, **variables: str) -> None:
    process = await processes.launch(*command, environment={**os.environ, **variables})
    assert await process.ended() == 0, process.log


async def _downgrade(url: str, revision: str) -> None:
    engine = database.connect(url, pool_size=1)
    async with database.transaction(engine) as connection:
        await connection.run_sync(lambda sync: alembic.command.downgrade(migrate.config(sync), revision))
    await engine.dispose()
