"""The secrets that task_data refers to: files in a directory, as Kubernetes and Docker mount them."""

import dataclasses
import errno
import os
import pathlib
import stat
from collections.abc import Sequence
from typing import Any, Self

from duetime_core.model import secret
from duetime_worker import handlers

MAX_BYTES = 16 * 1024
"""Of one secret."""
MAX_TOTAL_BYTES = 64 * 1024
"""Of the secrets of one task together: what redacts them takes a multiple of it in memory."""
MIN_CHARACTERS = 4
"""Shorter values are in any text by chance, and could not be redacted."""

_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Permission:
    """Permits the tasks of a handler to refer to a secret, or to all whose names begin alike."""

    handler: str
    name: str
    """Of a secret. A `*` at its end stands for anything."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns what `Call Webhook=hooks/token` permits. Raises ValueError."""
        handler, equals, name = (part.strip() for part in text.rpartition("="))
        beginning = name.removesuffix("*").removesuffix("/") if name.endswith("*") else name
        if not equals or not handler or not (name == "*" or secret.is_name(beginning)):
            raise ValueError(
                f"{text!r} must be the name of a handler and that of a secret, such as Call Webhook=hooks/token or "
                "Call Webhook=hooks/*"
            )
        return cls(handler, name)

    def covers(self, handler: str, name: str) -> bool:
        """Returns whether it permits that handler that secret."""
        is_named = name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name
        return is_named and handler == self.handler


class Secret(str):
    """The value of a secret: a text whose repr does not show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[secret]'"


class SecretStore:
    """Reads secrets, at each run anew, so that a changed file needs no restart. Each handler gets those permitted."""

    def __init__(self, directory: pathlib.Path | None = None, permissions: Sequence[Permission] = ()) -> None:
        self._directory = directory
        self._permissions = permissions

    def resolve(self, handler: str, task_data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """Returns a handler's task_data with secrets in place of their references, and the secrets by name.

        Raises Fail for a reference that is invalid, not permitted or unknown, and Retry for a file that cannot be read.
        Neither shows a value, nor whether a secret exists that is not permitted. Reads files: call it in a thread.
        """
        found: dict[str, Secret] = {}

        def find(name: str) -> str:
            if name not in found:
                found[name] = Secret(self._read(handler, name))
                if sum(map(len, found.values())) > MAX_TOTAL_BYTES:
                    raise handlers.Fail(f"its secrets have more than {MAX_TOTAL_BYTES // 1024} KiB together")
            return found[name]

        try:
            return secret.replaced(task_data, find), dict(found)
        except secret.InvalidReference as error:
            raise handlers.Fail(f"task_data{error.path}: {error.problem}") from None

    def _read(self, handler: str, name: str) -> str:
        unavailable = f'the secret "{name}" is not available to handler "{handler}"'
        if self._directory is None:
            raise handlers.Fail(f"{unavailable}: this worker has no DUETIME_SECRETS_DIR")
        if not any(each.covers(handler, name) for each in self._permissions):
            raise handlers.Fail(f"{unavailable}: DUETIME_SECRETS_ALLOW does not permit it")
        try:
            content = _content(self._directory, name)
        except (FileNotFoundError, NotADirectoryError):
            raise handlers.Fail(f"{unavailable}: DUETIME_SECRETS_DIR has no such file") from None
        except ValueError as error:
            raise handlers.Fail(f"{unavailable}: its file in DUETIME_SECRETS_DIR {error}") from None
        except OSError as error:
            raise handlers.Retry(f"{unavailable}: its file cannot be read: {error.strerror}") from None
        return content


def _content(directory: pathlib.Path, name: str) -> str:
    """Returns a secret without its final newline. Raises ValueError, without the value, and OSError."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            content = _bytes(directory, name)
            break
        except FileNotFoundError:  # Kubernetes may have put another version in its place meanwhile
            if not left:
                raise
    if len(content) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8") from None
    if text.endswith("\n"):
        text = text.removesuffix("\n").removesuffix("\r")
    if len(text) < MIN_CHARACTERS:
        raise ValueError(f"has less than {MIN_CHARACTERS} characters, too few to be kept out of errors and results")
    return text


def _bytes(directory: pathlib.Path, name: str) -> bytes:
    path = directory / name
    try:
        # At once, and not link by link: their targets may be replaced meanwhile. Without waiting for a pipe's writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("is a link to itself") from None
        raise
    try:
        if not _opened(descriptor, path).is_relative_to(directory.resolve()):
            raise ValueError("is a link that leads out of it")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is not a file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(descriptor)


def _opened(descriptor: int, path: pathlib.Path) -> pathlib.Path:
    """Returns the path of the file that was opened, without links."""
    try:
        return pathlib.Path(f"/proc/self/fd/{descriptor}").readlink()
    except FileNotFoundError:  # not on Linux
        return path.resolve()
