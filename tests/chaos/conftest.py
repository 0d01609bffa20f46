"""A PostgreSQL that the chaos tests share and may kill, and a scenario for each."""

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
Tell = Callable[[str], None]


@pytest_asyncio.fixture(scope="session")
async def postgres(short_directory: pathlib.Path) -> AsyncIterator[cluster.Cluster]:
    """A PostgreSQL; a test that kills it starts it again."""
    running = cluster.Cluster(short_directory / "chaos")
    await running.start()
    await running.make_template()
    yield running
    await running.stop()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What decides all that is random: each test's own, or CHAOS_SEED."""
    return int(os.environ.get("CHAOS_SEED", zlib.crc32(request.node.name.encode())))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Tells a figure that was measured, which a test is read for."""

    def tell(figure: str) -> None:
        with capsys.disabled():
            print(f"\n    {figure}", end="")  # noqa: T201 - see above

    return tell


@pytest.fixture
def play(postgres: cluster.Cluster, tmp_path: pathlib.Path, seed: int) -> Play:
    """Plays a scenario: `async with play(servers=2) as scene`."""

    def playing(**options: Any) -> AbstractAsyncContextManager[scenario.Scenario]:
        return scenario.playing(tmp_path, postgres, seed=seed, **options)

    return playing
