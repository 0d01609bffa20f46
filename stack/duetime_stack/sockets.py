"""The unix sockets by which the parts of a stack reach each other: in one directory that only their user may enter."""

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
# gRPC reads a URI, Valkey splits at spaces, PostgreSQL at commas.
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")
_PREFIX = "duetime-"
# supervisord binds its path with its process id added, and then renames it.
_LONGEST_NAME = f"supervisor.sock.{2**22}"


@dataclasses.dataclass(frozen=True)
class Sockets:
    """The paths of the sockets in a directory. PostgreSQL's is the directory itself."""

    directory: pathlib.Path

    @property
    def supervisor(self) -> pathlib.Path:
        """Where supervisord takes orders."""
        return self.directory / "supervisor.sock"

    @property
    def valkey(self) -> pathlib.Path:
        """Where Valkey listens."""
        return self.directory / "valkey.sock"

    @property
    def mailbox(self) -> pathlib.Path:
        """Where the mailbox takes mail."""
        return self.directory / "mailbox.sock"

    def server(self, number: int) -> pathlib.Path:
        """Returns where this server listens."""
        return self.directory / f"server-{number}.sock"


@contextlib.contextmanager
def prepare(paths: layout.Layout) -> Iterator[Sockets]:
    """Lends the sockets' directory: the run directory, or a short one of its own if paths there do not fit.

    Only for the process that has the run directory to itself. Raises StackError if no path fits.
    """
    note = paths.run / "sockets"
    _remove_noted(note)
    if fits(paths.run / _LONGEST_NAME):
        _clear(paths.run)
        yield Sockets(paths.run)
        return
    # Both are made for this user alone (0700).
    for parent in (None, "/tmp"):  # noqa: S108 - see above
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as short:
            if fits(pathlib.Path(short, _LONGEST_NAME)):
                _note(note, short)
                yield Sockets(pathlib.Path(short))
                return
    raise errors.StackError(
        f"{paths.run} and {tempfile.gettempdir()} cannot have unix sockets: a path is at most 107 bytes, of plain "
        "letters; choose another place with --data-dir or DUETIME_DATA_DIR, or with TMPDIR"
    )


def _remove_noted(note: pathlib.Path) -> None:
    """Removes the short directory of the last start, which a kill -9 leaves behind."""
    with contextlib.suppress(OSError, ValueError):
        directory = pathlib.Path(note.read_text())
        note.unlink()
        # By now the name may be another user's. In a copy of the data directory it is of a stack that may run.
        is_ours = directory.name.startswith(_PREFIX) and directory.lstat().st_uid == os.geteuid()
        if is_ours and not accepts(Sockets(directory).supervisor):
            shutil.rmtree(directory)


def _note(note: pathlib.Path, directory: str) -> None:
    draft = note.with_suffix(".new")
    draft.write_text(directory)
    draft.rename(note)


def _clear(directory: pathlib.Path) -> None:
    # After a kill -9 of everything they are still there, and PostgreSQL's lock names a process that is another by now.
    for left in (*directory.glob("*.sock"), *directory.glob(".s.PGSQL.*")):
        left.unlink()


def fits(path: pathlib.Path) -> bool:
    """Returns whether a unix socket can have this path, and all programs read it as it is."""
    return len(bytes(path)) <= MAX_PATH and _PLAIN.fullmatch(str(path)) is not None


def accepts(path: pathlib.Path) -> bool:
    """Returns whether something answers on this socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        probe.connect(str(path))
        return True
    return False
