"""A standby takes over: asynchronous, it may lack the last changes, but no watch has a gap; synchronous, it has all."""

import asyncio
import datetime
import itertools
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.chaos import checker, failover, losses, scenario
from tests.chaos.conftest import Show

pytestmark = pytest.mark.timeout(300)

LOST_SECONDS = 1.5
"""For how long the standby receives nothing before it takes over: less than a lease, and than an outage may be."""
HANG_SECONDS = 4.0
IMPATIENT: dict[str, Any] = {"timeout": datetime.timedelta(seconds=1), "batches": 30}
"""Callers that hang up while commits wait for a synchronous standby, and then repeat their calls."""
PATIENCE = datetime.timedelta(seconds=2)
"""Of those that cancel tasks then: by far more than a call takes that does not hang, on a busy machine, too."""
CANCELLED_TASKS = 4
LATER_SECONDS = 25
"""Until when those tasks stay pending."""

_numbers = itertools.count()


@pytest.fixture
async def pair(request: pytest.FixtureRequest, short_directory: pathlib.Path) -> AsyncIterator[failover.Pair]:
    directory = short_directory / f"pair-{next(_numbers)}"
    directory.mkdir()
    made = await failover.make_pair(directory, is_synchronous=request.param)
    yield made
    await made.stop()


async def _lose_the_primary(scene: scenario.Scenario, pair: failover.Pair, *, seconds: float, cancels: int = 0) -> None:
    """Fails over after the standby has received nothing for so long, and callers have cancelled tasks.

    They repeat that, at most `cancels` times, until they have a response.
    """
    async with scene.load.running(filtered=True):
        await asyncio.sleep(3)
        later = scene.load.create_for_later
        task_ids = await later(CANCELLED_TASKS, seconds=LATER_SECONDS) if cancels else []
        await pair.cut()
        cancelling = scene.load.cancel_impatiently(task_ids, times=cancels, patience=PATIENCE)
        await asyncio.gather(asyncio.sleep(seconds), cancelling)
        scene.load.forget_tasks()
        scene.failover = await pair.fail_over(scene.world)
        await asyncio.sleep(4)


@pytest.mark.parametrize("pair", [False], indirect=True, ids=[""])
async def test_an_asynchronous_standby_takes_over(
    pair: failover.Pair, tmp_path: pathlib.Path, seed: int, show: Show
) -> None:
    async with scenario.playing(tmp_path, pair.primary, seed=seed) as scene:
        await _lose_the_primary(scene, pair, seconds=LOST_SECONDS)
        found = await scene.settled()
        scene.require_sound(found)
        show(f"{len(losses.lost(found))} changes were lost; {sum(len(seen.events) for seen in found.seen)} were seen")
        assert len(losses.lost(found)) > 20
        assert not [seen.error for seen in found.seen if seen.task_id is None and seen.error], "it need not be refused"
        scene.world.require_all_alive()


@pytest.mark.parametrize("pair", [True], indirect=True, ids=[""])
async def test_a_synchronous_standby_takes_over(
    pair: failover.Pair, tmp_path: pathlib.Path, seed: int, show: Show
) -> None:
    async with scenario.playing(tmp_path, pair.primary, seed=seed, **IMPATIENT) as scene:
        await _lose_the_primary(scene, pair, seconds=HANG_SECONDS, cancels=2)
        found = await scene.settled()
        scene.require_sound(found)
        show(f"{len(losses.lost(found))} changes were lost, none of which was answered")
        scene.world.require_all_alive()


@pytest.mark.parametrize("pair", [False], indirect=True, ids=[""])
async def test_the_checker_detects_changes_that_watches_skip(
    pair: failover.Pair, tmp_path: pathlib.Path, seed: int, show: Show
) -> None:
    wrapper = ("tests.chaos.breakages", "trust_positions")
    async with scenario.playing(tmp_path, pair.primary, seed=seed, wrapper=wrapper) as scene:
        await _lose_the_primary(scene, pair, seconds=LOST_SECONDS)
        _require_broken(checker.check(await scene.settled(seconds=10)), 7, show)


@pytest.mark.parametrize("pair", [True], indirect=True, ids=[""])
async def test_the_checker_detects_answers_that_no_standby_has(
    pair: failover.Pair, tmp_path: pathlib.Path, seed: int, show: Show
) -> None:
    wrapper = ("tests.chaos.breakages", "cancel_what_hangs")
    async with scenario.playing(tmp_path, pair.primary, seed=seed, wrapper=wrapper, **IMPATIENT) as scene:
        await _lose_the_primary(scene, pair, seconds=HANG_SECONDS, cancels=10)
        _require_broken(checker.check(await scene.settled(seconds=10)), 4, show)


def _require_broken(violations: list[checker.Violation], rule: int, show: Show) -> None:
    show(checker.report([violation for violation in violations if violation.rule == rule], most=3))
    assert rule in checker.broken_rules(violations), checker.report(violations)
