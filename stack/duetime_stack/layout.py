"""Where a stack keeps what: all of it under one data directory."""

import dataclasses
import os
import pathlib
import stat

from duetime_stack import errors


@dataclasses.dataclass(frozen=True)
class Layout:
    """The paths under a data directory, which is absolute."""

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
        """Makes the directories that are missing, and closes them to others. Raises StackError if it cannot."""
        try:
            for directory in (self.data_dir, self.logs, self.run):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _close(self.data_dir)
        except OSError as error:
            raise unusable(self.data_dir, error) from error


def unusable(data_dir: pathlib.Path, error: OSError) -> errors.StackError:
    """Returns why that cannot be the data directory."""
    reason = "it is a file" if data_dir.is_file() else f"{error.filename or data_dir}: {error.strerror}"
    return errors.StackError(f"{data_dir} cannot be the data directory (--data-dir or DUETIME_DATA_DIR): {reason}")


def _close(directory: pathlib.Path) -> None:
    """Closes a directory to all but its owner, and what is in it, if it was open."""
    if directory.stat().st_mode & 0o777 == 0o700:
        return
    for parent, names, files in os.walk(directory):
        for path in (pathlib.Path(parent, name) for name in (*names, *files)):
            mode = path.lstat().st_mode
            if mode & 0o077 and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) & ~0o077)
    # Last, so that after a kill -9 the next start begins again.
    directory.chmod(0o700)
