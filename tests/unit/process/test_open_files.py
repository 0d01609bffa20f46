"""The limit of open files."""

import resource
from collections.abc import Iterator

import pytest

from duetime_core.process import open_files


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_process_gets_as_many_open_files_as_the_system_lets_it_have() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    open_files.raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(65_536, hard), hard)
