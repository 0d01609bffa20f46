"""The PostgreSQL that the chaos tests share and may kill, and the scenario of each test."""

import os
import pathlib
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import pytest_asyncio

from tests.chaos import cluster, scenario

Play = Callable[..., AbstractAsyncContextManager[scenario.Scenario]]
Show = Callable[[str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="inject some faults as often as docs/reliability.md measured")


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether faults are injected as often, and for as long, as docs/reliability.md measured."""
    return bool(request.config.getoption("--long", default=False))


@pytest_asyncio.fixture(scope="session")
async def postgres(short_directory: pathlib.Path) -> AsyncIterator[cluster.Cluster]:
    """A PostgreSQL; a test that kills it restarts it."""
    running = cluster.Cluster(short_directory / "chaos")
    await running.start()
    await running.make_template()
    yield running
    await running.stop()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of everything random: derived from the test's name, or CHAOS_SEED."""
    return int(os.environ.get("CHAOS_SEED", zlib.crc32(request.node.name.encode())))


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a measured figure."""

    def show(figure: str) -> None:
        with capsys.disabled():
            print(f"\n    {figure}", end="")  # noqa: T201 - figures are part of the result

    return show


@pytest.fixture
def play(postgres: cluster.Cluster, tmp_path: pathlib.Path, seed: int) -> Play:
    """Runs a scenario: `async with play(servers=2) as scene`."""

    def playing(**options: Any) -> AbstractAsyncContextManager[scenario.Scenario]:
        return scenario.playing(tmp_path, postgres, seed=seed, **options)

    return playing
