"""A long random run: `python -m tests.chaos.soak --minutes 60 --seed 7`, or `make chaos`.

Each round injects random faults under load, lets the system settle, and checks every rule, until the time is over or a
rule is broken. The seed determines the clients' calls and the faults, but not how processes interleave.
"""

import argparse
import asyncio
import contextlib
import enum
import pathlib
import random
import tempfile
import traceback
from collections.abc import Awaitable

from tests.chaos import checker, clock, cluster, failover, faults, recurring, scenario

_FAULTS_A_ROUND = 6
_PAUSE_SECONDS = 2.0
_CUT_SECONDS = 2.0
"""For how long a standby may receive nothing before it takes over: less than a lease."""


class Kind(enum.Enum):
    """What a round has besides the faults that all have."""

    NOTHING = enum.auto()
    EDITS = enum.auto()
    """Callers change the schedules."""
    FAILOVER = enum.auto()
    """A standby takes over."""
    CLOCK = enum.auto()
    """The database's clock is stepped."""


async def _soak(seed: int, minutes: float, directory: pathlib.Path) -> bool:
    postgres = cluster.Cluster(directory / "postgres", has_own_clock=True)
    await postgres.start()
    await postgres.make_template()
    until = clock.now() + 60 * minutes
    number = 0
    try:
        while clock.now() < until:
            number += 1
            here = directory / f"round-{number}"
            here.mkdir()
            if not await _round(here, postgres, seed=seed + number - 1):
                return False
    except Exception:
        # Now: what hinders PostgreSQL from stopping would hide it.
        _print(
            f"seed {seed + number - 1}: FAILED\n{traceback.format_exc()}see {here}; PostgreSQL logged:\n"
            + "\n".join(postgres.log[-30:])
        )
        raise
    finally:
        await postgres.stop()
    return True


async def _round(directory: pathlib.Path, postgres: cluster.Cluster, *, seed: int) -> bool:
    choose = random.Random(seed)
    kind = choose.choice(list(Kind))
    async with contextlib.AsyncExitStack() as stack:
        pair = None
        if kind is Kind.FAILOVER:
            beside = directory.with_name(f"{directory.name}-pair")  # only its owner may enter that of the world
            beside.mkdir()
            pair = await failover.make_pair(beside, is_synchronous=choose.random() < 0.5)
            stack.push_async_callback(pair.stop)
        playing = scenario.playing(directory, pair.primary if pair else postgres, seed=seed)
        scene = await stack.enter_async_context(playing)
        played = await _play(scene, kind, pair, choose)
        found = await scene.settled()
        violations = checker.check(found)
        verdict = "sound" if not violations else f"BROKEN\n{checker.report(violations)}\nsee {directory}"
        _print(f"seed {seed}: {', '.join(played)}: {len(found.calls)} calls, {len(found.runs)} runs: {verdict}")
        scene.world.require_all_alive()
        return not violations


async def _play(scene: scenario.Scenario, kind: Kind, pair: failover.Pair | None, choose: random.Random) -> list[str]:
    """Plays the faults of a round, and returns their names."""
    played = []
    special = choose.randrange(_FAULTS_A_ROUND)
    async with contextlib.AsyncExitStack() as stack:
        # The watchers of the load have to see all occurrences.
        await stack.enter_async_context(scene.load.running(filtered=True))
        schedule_ids = await stack.enter_async_context(recurring.running(scene.world.target))
        if kind is Kind.EDITS:
            editing = recurring.edited(scene.world.target, schedule_ids, scene.intervals, choose.randrange(1_000_000))
            await stack.enter_async_context(editing)
        for number in range(_FAULTS_A_ROUND):
            await asyncio.sleep(choose.uniform(0, _PAUSE_SECONDS))
            injected: list[Awaitable[None]]
            if pair is not None and number == special:
                played.append("failover of an asynchronous pair" if not pair.is_synchronous else "failover of a pair")
                injected = [_fail_over(scene, pair, choose)]
            elif kind is Kind.CLOCK and number in (special, special - 2):
                played.append("step_the_clock")  # alone: the tasks of a worker that dies then wait for a wrong time
                injected = [faults.step_the_clock(scene.world, choose)]
            else:
                # One fault, or two at the same time that affect different parts.
                together = [choose.choice(group) for group in choose.sample(faults.ALL, k=choose.choice([1, 1, 2]))]
                played.append(" with ".join(fault.__name__ for fault in together))
                injected = [fault(scene.world, choose) for fault in together]
            await asyncio.gather(*injected)
    return played


async def _fail_over(scene: scenario.Scenario, pair: failover.Pair, choose: random.Random) -> None:
    if choose.random() < 0.7:
        await pair.cut()
        await asyncio.sleep(choose.uniform(0, _CUT_SECONDS))
    scene.load.forget_tasks()
    scene.failover = await pair.fail_over(scene.world)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program's output


def main() -> None:
    """Reads the arguments and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="the first round's seed (random)")
    chosen = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="duetime-chaos-"))
    directory.chmod(0o755)
    if not asyncio.run(_soak(chosen.seed, chosen.minutes, directory)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
