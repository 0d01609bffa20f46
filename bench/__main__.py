"""`python -m bench`: runs all or the named benchmarks, prints their tables and writes their results as JSON."""

import argparse
import asyncio
import importlib
import logging
import pathlib
import types
from collections.abc import Sequence

import rich.console
import structlog

from bench import harness, machine, report

NAMES = ("drain", "lateness", "burst", "create", "watch", "scale", "idle", "capacity", "limits")
RESULTS = pathlib.Path(".bench", "results")
TINY_RESULTS = RESULTS.with_name("tiny")


async def run(names: Sequence[str], *, is_tiny: bool, rounds: int, results: pathlib.Path) -> None:
    """Runs the benchmarks one after another."""
    console = rich.console.Console(width=120)
    for name in names:
        benchmark: types.ModuleType = importlib.import_module(f"bench.{name}")
        console.print(f"{name} …", style="dim")
        async with harness.open_session(is_tiny=is_tiny, rounds=rounds) as session:
            figures = report.Report(name)
            await benchmark.run(session, figures)
            path = figures.write(results, machine.describe(session.postgres.url("postgres")))
        figures.print(console)
        console.print(f"written to {path}\n", style="dim")


def main() -> None:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser("python -m bench", description="Runs Duetime's benchmarks.")
    parser.add_argument(
        "names",
        nargs="*",
        default=NAMES,
        metavar="NAME",
        help=f"the benchmarks to run, of {', '.join(NAMES)} (default: all)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds per benchmark (default: 3)")
    parser.add_argument(
        "--tiny", action="store_true", help="check that they work, at sizes too small for meaningful figures"
    )
    parser.add_argument("--results", type=pathlib.Path, help=f"the directory for the JSON results (default: {RESULTS})")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(NAMES):
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; must be one of {', '.join(NAMES)}")
    # Of each new database, the migrations log every step.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    results = chosen.results or (TINY_RESULTS if chosen.tiny else RESULTS)
    asyncio.run(run(chosen.names, is_tiny=chosen.tiny, rounds=1 if chosen.tiny else chosen.rounds, results=results))


if __name__ == "__main__":
    main()
