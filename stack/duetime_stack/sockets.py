"""The unix sockets that connect a stack's processes, in a directory that only their user can enter."""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator

from duetime_stack import errors, layout

MAX_PATH = 107
"""The longest path of a unix socket, in bytes (`sun_path` in unix(7), without its final NUL)."""
# gRPC parses the path as a URI, Valkey splits it at spaces, PostgreSQL at commas.
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")
_PREFIX = "duetime-"
# supervisord binds its path with the process id appended, and then renames the socket.
_LONGEST_NAME = f"supervisor.sock.{2**22}"


@dataclasses.dataclass(frozen=True)
class Sockets:
    """The paths of the sockets. PostgreSQL takes the directory."""

    directory: pathlib.Path

    @property
    def supervisor(self) -> pathlib.Path:
        """supervisord's RPC."""
        return self.directory / "supervisor.sock"

    @property
    def valkey(self) -> pathlib.Path:
        """Valkey."""
        return self.directory / "valkey.sock"

    @property
    def mailbox(self) -> pathlib.Path:
        """The mailbox."""
        return self.directory / "mailbox.sock"

    def server(self, number: int) -> pathlib.Path:
        """Returns the socket of this server."""
        return self.directory / f"server-{number}.sock"


@contextlib.contextmanager
def prepare(paths: layout.Layout) -> Iterator[Sockets]:
    """Yields the sockets: in the run directory, or in a temporary one if paths there are too long.

    The caller must hold the lock. Raises StackError if no path fits.
    """
    record = paths.run / "sockets"
    _remove_recorded(record)
    if fits(paths.run / _LONGEST_NAME):
        _clear(paths.run)
        yield Sockets(paths.run)
        return
    # Both are created private (0700).
    for parent in (None, "/tmp"):  # noqa: S108 - see above
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as short:
            if fits(pathlib.Path(short, _LONGEST_NAME)):
                _write_record(record, short)
                yield Sockets(pathlib.Path(short))
                return
    raise errors.StackError(
        f"neither {paths.run} nor {tempfile.gettempdir()} can hold unix sockets: a path has at most 107 bytes, and "
        "only plain characters; choose another directory with --data-dir or DUETIME_DATA_DIR, or with TMPDIR"
    )


def _remove_recorded(record: pathlib.Path) -> None:
    """Removes the temporary directory of the last start, which a kill -9 leaves behind."""
    with contextlib.suppress(OSError, ValueError):
        directory = pathlib.Path(record.read_text())
        record.unlink()
        # The directory may be another user's by now, or that of a running stack if the data directory is a copy.
        is_own = directory.name.startswith(_PREFIX) and directory.lstat().st_uid == os.geteuid()
        if is_own and not accepts(Sockets(directory).supervisor):
            shutil.rmtree(directory)


def _write_record(record: pathlib.Path, directory: str) -> None:
    draft = record.with_suffix(".new")
    draft.write_text(directory)
    draft.rename(record)


def _clear(directory: pathlib.Path) -> None:
    # A kill -9 of everything leaves them behind, and PostgreSQL's lock file may name an unrelated process by now.
    for stale in (*directory.glob("*.sock"), *directory.glob(".s.PGSQL.*")):
        stale.unlink()


def fits(path: pathlib.Path) -> bool:
    """Returns whether every program can use this path for a unix socket."""
    return len(bytes(path)) <= MAX_PATH and _PLAIN.fullmatch(str(path)) is not None


def accepts(path: pathlib.Path) -> bool:
    """Returns whether a process accepts connections on this socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        probe.connect(str(path))
        return True
    return False
