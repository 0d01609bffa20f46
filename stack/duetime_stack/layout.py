"""The layout of the data directory."""

import dataclasses
import os
import pathlib
import stat

from duetime_stack import errors


@dataclasses.dataclass(frozen=True)
class Layout:
    """The paths under an absolute data directory."""

    data_dir: pathlib.Path

    @property
    def postgres(self) -> pathlib.Path:
        """PostgreSQL's data directory: the only one here that must not be lost."""
        return self.data_dir / "postgres"

    @property
    def mailbox(self) -> pathlib.Path:
        """A maildir with the mail that tasks sent."""
        return self.data_dir / "mailbox"

    @property
    def reports(self) -> pathlib.Path:
        """Reports that tasks wrote."""
        return self.data_dir / "reports"

    @property
    def admin_key(self) -> pathlib.Path:
        """The stack's own admin key, as a header that curl reads with `-H @FILE`."""
        return self.data_dir / "admin.key"

    @property
    def admin_address(self) -> pathlib.Path:
        """Where Envoy listens, while it does: clients send the admin key to no other address."""
        return self.data_dir / "admin.address"

    @property
    def logs(self) -> pathlib.Path:
        """One log per process."""
        return self.data_dir / "logs"

    @property
    def run(self) -> pathlib.Path:
        """Files that are rewritten at each start: sockets, locks and configurations."""
        return self.data_dir / "run"

    def log(self, process: str) -> pathlib.Path:
        """Returns the log of this process."""
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Creates missing directories, and makes them private. Raises StackError if that fails."""
        try:
            for directory in (self.data_dir, self.logs, self.run):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_private(self.data_dir)
        except OSError as error:
            raise unusable(self.data_dir, error) from error


def unusable(data_dir: pathlib.Path, error: OSError) -> errors.StackError:
    """Returns the error for a path that cannot be the data directory."""
    reason = "it is a file" if data_dir.is_file() else f"{error.filename or data_dir}: {error.strerror}"
    return errors.StackError(
        f"{data_dir} cannot be used as the data directory (--data-dir or DUETIME_DATA_DIR): {reason}"
    )


def _make_private(directory: pathlib.Path) -> None:
    """Makes a directory and its content private to its owner, unless it already is."""
    if directory.stat().st_mode & 0o777 == 0o700:
        return
    for parent, names, files in os.walk(directory):
        for path in (pathlib.Path(parent, name) for name in (*names, *files)):
            mode = path.lstat().st_mode
            if mode & 0o077 and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) & ~0o077)
    # Last, so that the next start repeats this after a kill -9.
    directory.chmod(0o700)
