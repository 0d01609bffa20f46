"""The lock of a data directory, by which clients also see whether its stack runs."""

import fcntl
import os
import pathlib
import threading
from collections.abc import Iterator

import pytest

from duetime_stack import errors, layout, lock, waiting


@pytest.fixture
def paths(tmp_path: pathlib.Path) -> layout.Layout:
    made = layout.Layout(tmp_path / "stack")
    made.create()
    return made


@pytest.fixture
def other(paths: layout.Layout) -> Iterator[int]:
    """Another descriptor of the lock that `duetime up` holds."""
    descriptor = os.open(paths.run / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    yield descriptor
    os.close(descriptor)


def test_the_address_that_a_killed_stack_left_is_removed_before_the_rest_of_it_has_stopped(
    paths: layout.Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.admin_address.write_text("127.0.0.1:8080\n")
    removed = []
    monkeypatch.setattr(waiting, "until", lambda *_: removed.append(not paths.admin_address.exists()))
    with lock.exclusive(paths):
        assert removed == [True]


def test_a_second_stack_is_refused_and_leaves_the_address_of_the_first(paths: layout.Layout) -> None:
    with lock.exclusive(paths):
        paths.admin_address.write_text("127.0.0.1:8080\n")
        with pytest.raises(errors.StackError, match="another stack is running"), lock.exclusive(paths):
            pass
        assert paths.admin_address.exists()


def test_a_client_that_looks_at_the_lock_does_not_keep_a_stack_from_starting(paths: layout.Layout, other: int) -> None:
    fcntl.flock(other, fcntl.LOCK_SH)
    threading.Timer(0.02, fcntl.flock, (other, fcntl.LOCK_UN)).start()
    with lock.exclusive(paths), pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
