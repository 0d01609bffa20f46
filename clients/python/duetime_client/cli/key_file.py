"""The file that a new API key is written to."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import IO

import typer

from duetime_client.cli import printing, process, quoting


@dataclasses.dataclass
class KeyFile:
    """An open file for one key."""

    path: pathlib.Path
    stream: IO[str]
    is_written: bool = False

    def write(self, api_key: str) -> None:
        """Writes the key as a header, which curl reads with `-H @FILE`; prints it if that fails."""
        try:
            self.stream.write(f"authorization: Bearer {api_key}\n")
            self.stream.flush()
            os.fsync(self.stream.fileno())
        except OSError as error:
            printing.line(api_key)
            printing.error(f"--out: {self.path} cannot be written: {error.strerror}; the key is printed instead")
            raise typer.Exit(process.FAILED) from None
        self.is_written = True


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[KeyFile | None]:
    """Creates the file, readable by this user alone, before there is a key; removes it again if none is written.

    Yields None without a path. Raises BadParameter if the file exists or cannot be created.
    """
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise typer.BadParameter(
            f"{quoting.quoted(path)} exists: choose another name, or remove it", param_hint="--out"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise typer.BadParameter(f"{quoting.quoted(path)} cannot be created: {reason}", param_hint="--out") from None
    file = KeyFile(pathlib.Path(path), os.fdopen(descriptor, "w", encoding="utf-8"))
    try:
        yield file
    finally:
        file.stream.close()
        if not file.is_written:
            file.path.unlink(missing_ok=True)
