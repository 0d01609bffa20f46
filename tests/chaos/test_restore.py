"""A backup that was taken under load, restored: what was accepted before it keeps every promise."""

import asyncio
import dataclasses
import pathlib

import pytest

from tests.chaos import checker, evidence, history, scenario, workload, world
from tests.chaos.conftest import Play, Tell

pytestmark = pytest.mark.timeout(300)


async def test_a_dump_taken_under_load_keeps_the_rules_once_it_is_restored(
    play: Play, tell: Tell, tmp_path: pathlib.Path
) -> None:
    async with play() as scene:
        async with scene.load.running():
            await asyncio.sleep(5)
            before, after = await scene.world.postgres.dump(scene.world.database, tmp_path / "dump")
        await scene.load.watchers.close()  # the watches of the database that is lost
        workers = [worker.pid for worker in scene.world.workers]
    restored = await scene.world.postgres.restore(tmp_path / "dump")
    here = tmp_path / "restored"
    here.mkdir()
    made = await world.make(here, scene.world.postgres, database=restored)
    try:
        await asyncio.gather(made.start_servers(1), made.start_workers(2))
        made.hurts += [world.Hurt("killed", pid, before, before) for pid in workers]
        again = scenario.Scenario(made, workload.Workload(made.target, seed=0), scene.began, scene.seed)
        found = await again.settled()
    finally:
        await made.close()
    claimed = {(log.task_id, log.version) for logs in found.logs.values() for log in logs if log.change == "started"}
    earlier = [
        run
        for run in evidence.read_runs(tmp_path)
        # Of those that began as the dump did, the ones whose claim it has.
        if run.began < before or (run.began < after and (run.task_id, run.version) in claimed)
    ]
    calls = _known(scene.load.history.calls, before, after)
    held = dataclasses.replace(found, calls=calls, runs=[*earlier, *found.runs])
    violations = checker.check(held)
    assert not violations, checker.report(violations)
    lost = sum(log.change == "lease_lost" for logs in found.logs.values() for log in logs)
    tell(f"{len(found.rows)} tasks restored; {len(found.runs)} ran afterwards, {lost} of them for the second time")
    assert len(found.runs) > lost > 0


def _known(calls: list[history.Call], before: float, after: float) -> list[history.Call]:
    """Returns what callers may count on: what was answered before the dump. What was not yet may be in it or not."""
    known = []
    for call in calls:
        if call.returned is not None and call.returned < before:
            known.append(call)
        elif call.invoked < after:
            known.append(dataclasses.replace(call, outcome=history.Outcome.UNKNOWN))
    return known
