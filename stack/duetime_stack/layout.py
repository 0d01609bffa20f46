"""Where a stack keeps what: all of it under one data directory."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator

from duetime_stack import errors

MAX_SOCKET_PATH = 107
"""The longest path of a unix socket, in bytes (`sun_path` in unix(7), without its final NUL)."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The places under a data directory, which is absolute."""

    data_dir: pathlib.Path

    @property
    def postgres(self) -> pathlib.Path:
        """PostgreSQL's data: the one thing here that must not be lost."""
        return self.data_dir / "postgres"

    @property
    def mailbox(self) -> pathlib.Path:
        """A maildir with the mails that tasks sent."""
        return self.data_dir / "mailbox"

    @property
    def reports(self) -> pathlib.Path:
        """The reports that tasks wrote."""
        return self.data_dir / "reports"

    @property
    def logs(self) -> pathlib.Path:
        """What the parts say, a file each."""
        return self.data_dir / "logs"

    @property
    def run(self) -> pathlib.Path:
        """What is written anew at each start."""
        return self.data_dir / "run"

    def log(self, part: str) -> pathlib.Path:
        """Returns the file that has what this part says."""
        return self.logs / f"{part}.log"

    def make(self) -> None:
        """Makes the directories that are missing. Raises StackError if that is not possible."""
        try:
            for directory in (self.data_dir, self.logs, self.run):
                directory.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise errors.StackError(
                f"{error.filename} is a file, but should be a directory for the data (--data-dir or DUETIME_DATA_DIR)"
            ) from error
        except OSError as error:
            raise errors.StackError(
                f"{self.data_dir} cannot be the data directory (--data-dir or DUETIME_DATA_DIR): {error.strerror}"
            ) from error


def fits_socket(path: pathlib.Path) -> bool:
    """Returns whether a unix socket can have this path."""
    return len(bytes(path)) <= MAX_SOCKET_PATH


@contextlib.contextmanager
def socket_path(layout: Layout) -> Iterator[pathlib.Path]:
    """Lends a path for supervisord's socket: in the run directory, or in a short one if that path is too long."""
    path = layout.run / "supervisor.sock"
    # supervisord binds the path with its process id added, and then renames it.
    if fits_socket(path.with_name(f"{path.name}.{2**22}")):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="duetime-") as short:
        yield pathlib.Path(short, path.name)
