"""A restored backup that was taken under load: every promise holds for tasks that were accepted before it."""

import asyncio
import dataclasses
import pathlib

import pytest

from tests.chaos import checker, evidence, history, scenario, workload, world
from tests.chaos.conftest import Play, Show

pytestmark = pytest.mark.timeout(300)


async def test_a_restored_dump_that_was_taken_under_load_keeps_the_rules(
    play: Play, show: Show, tmp_path: pathlib.Path
) -> None:
    async with play() as scene:
        async with scene.load.running():
            await asyncio.sleep(5)
            before, after = await scene.world.postgres.dump(scene.world.database, tmp_path / "dump")
        await scene.load.watchers.close()  # the watches of the lost database
        workers = [worker.pid for worker in scene.world.workers]
    restored = await scene.world.postgres.restore(tmp_path / "dump")
    here = tmp_path / "restored"
    here.mkdir()
    made = await world.make(here, scene.world.postgres, database=restored)
    try:
        await asyncio.gather(made.start_servers(1), made.start_workers(2))
        made.incidents += [world.Incident("killed", pid, before, before) for pid in workers]
        again = scenario.Scenario(made, workload.Workload(made.target, seed=0), scene.began, scene.seed)
        found = await again.settled()
    finally:
        await made.close()
    claimed = {(log.task_id, log.version) for logs in found.logs.values() for log in logs if log.change == "started"}
    earlier = [
        run
        for run in evidence.read_runs(tmp_path)
        # Of those that began during the dump, only the ones whose claim it contains.
        if run.began < before or (run.began < after and (run.task_id, run.version) in claimed)
    ]
    calls = _known(scene.load.history.calls, before, after)
    held = dataclasses.replace(found, calls=calls, runs=[*earlier, *found.runs])
    violations = checker.check(held)
    assert not violations, checker.report(violations)
    lost = sum(log.change == "lease_lost" for logs in found.logs.values() for log in logs)
    show(f"{len(found.rows)} tasks restored; {len(found.runs)} ran afterwards, {lost} of them for the second time")
    assert len(found.runs) > lost > 0


def _known(calls: list[history.Call], before: float, after: float) -> list[history.Call]:
    """Returns the calls as the dump guarantees them: answered before it, or else of unknown outcome."""
    known = []
    for call in calls:
        if call.returned is not None and call.returned < before:
            known.append(call)
        elif call.invoked < after:
            known.append(dataclasses.replace(call, outcome=history.Outcome.UNKNOWN))
    return known
