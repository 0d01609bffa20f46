"""A worker with a wrong clock: only the database's clock counts."""

import asyncio

import pytest

from tests.chaos import faults, lateness
from tests.chaos.conftest import Play, Show

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("shift", ["+1h", "-1h"])
async def test_a_worker_whose_clock_is_an_hour_off(play: Play, show: Show, shift: str) -> None:
    async with play(workers=0) as scene:
        await scene.world.start_workers(1, variables=faults.wrong_clock(shift))
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
