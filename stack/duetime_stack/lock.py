"""The lock that allows one stack per data directory."""

import contextlib
import fcntl
import os
import pathlib
import time
from collections.abc import Iterator

from duetime_stack import errors, layout, waiting

_ATTEMPTS = 5
_ATTEMPT_SECONDS = 0.05


@contextlib.contextmanager
def exclusive(paths: layout.Layout) -> Iterator[int]:
    """Locks the data directory, and yields the descriptor of a second lock for supervisord to inherit.

    The first lock is held while `duetime up` runs. The second is held until supervisord has stopped every process,
    which is later if `duetime up` was killed. Removes the address that it left, because clients send the admin key to
    that address while the first lock is held. Raises StackError if another stack runs there.
    """
    with _opened(paths.run / "up.lock") as ours, _opened(paths.run / "supervisord.lock") as inherited:
        if not _try_repeatedly(ours):
            raise errors.StackError(
                f"another stack is running in {paths.data_dir}; choose another directory with --data-dir or "
                "DUETIME_DATA_DIR"
            )
        paths.admin_address.unlink(missing_ok=True)
        waiting.until(lambda: _try(inherited), f"the previous stack in {paths.data_dir} to stop")
        yield inherited


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_repeatedly(descriptor: int) -> bool:
    # A client that looks whether a stack holds the lock has it itself for a moment.
    for _ in range(_ATTEMPTS):
        if _try(descriptor):
            return True
        time.sleep(_ATTEMPT_SECONDS)
    return False


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
