"""A long random run: `python -m tests.chaos.soak --minutes 60 --seed 7`, or `make chaos`.

Each round injects random faults under load, lets the system settle, and checks every rule, until the time is over or a
rule is broken. The seed determines the clients' calls and the faults, but not how processes interleave.
"""

import argparse
import asyncio
import pathlib
import random
import tempfile

from tests.chaos import checker, clock, cluster, faults, recurring, scenario

_FAULTS_A_ROUND = 6
_PAUSE_SECONDS = 2.0


async def _soak(seed: int, minutes: float, directory: pathlib.Path) -> bool:
    postgres = cluster.Cluster(directory / "postgres")
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
    finally:
        await postgres.stop()
    return True


async def _round(directory: pathlib.Path, postgres: cluster.Cluster, *, seed: int) -> bool:
    choose = random.Random(seed)
    async with scenario.playing(directory, postgres, seed=seed) as scene:
        played = []
        # The watchers of the load have to see all occurrences.
        async with scene.load.running(), recurring.running(scene.world.target):
            for _ in range(_FAULTS_A_ROUND):
                await asyncio.sleep(choose.uniform(0, _PAUSE_SECONDS))
                # One fault, or two at the same time that affect different parts.
                together = [choose.choice(group) for group in choose.sample(faults.ALL, k=choose.choice([1, 1, 2]))]
                played.append(" with ".join(fault.__name__ for fault in together))
                await asyncio.gather(*(fault(scene.world, choose) for fault in together))
        found = await scene.settled()
        violations = checker.check(found)
        verdict = "sound" if not violations else f"BROKEN\n{checker.report(violations)}\nsee {directory}"
        _print(f"seed {seed}: {', '.join(played)}: {len(found.calls)} calls, {len(found.runs)} runs: {verdict}")
        scene.world.require_all_alive()
        return not violations


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
