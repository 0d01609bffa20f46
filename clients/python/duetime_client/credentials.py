"""The API key or access token that a client sends with each call, and where it is found."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Mapping
from typing import TypeAlias

from duetime_client import address, stack_key

VARIABLE = "DUETIME_API_KEY"
FILE_VARIABLE = "DUETIME_API_KEY_FILE"
_DATA_DIR = ".duetime"
"""The data directory of `duetime up` in the current directory, if DUETIME_DATA_DIR names no other."""
FILE_FORM = "authorization: Bearer dt_…"

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_LINE = re.compile(r"authorization: +bearer +(\S+)", re.IGNORECASE)
_ALONE = re.compile(r"(\S+)")

_Version: TypeAlias = tuple[int, int, int, int]


class Credentials:
    """What a client sends with each call to a server.

    Without an API key, that of the environment is sent, or, to the address of a stack that runs on this machine from
    the current directory, its admin key; an empty one stands for none. Raises ValueError, without quoting the key, for
    one that is malformed, cannot be read, or would be sent unencrypted to another machine.
    """

    def __init__(
        self, api_key: str | None, server: address.Address, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._server = server
        self._file = ""
        self._version: _Version | None = None
        if api_key is None and not environment.get(VARIABLE):
            self._file = environment.get(FILE_VARIABLE, "")
        if self._file:
            self._version = _version(self._file)
            self._metadata = _metadata(_read(self._file), server)
        else:
            self._metadata = _metadata(_of(environment, server) if api_key is None else api_key, server)

    def metadata(self) -> Metadata:
        """Returns what the next call sends. DUETIME_API_KEY_FILE is read again if it was changed: tokens are renewed.

        While it cannot be read, or is not what it should be, the last one is sent.
        """
        if self._file and (version := _version(self._file)) != self._version:
            with contextlib.suppress(ValueError):
                self._metadata = _metadata(_read(self._file), self._server)
            self._version = version  # as it was before it was read: a later change is another version
        return self._metadata


def _metadata(key: str, server: address.Address) -> Metadata:
    if not key:
        return ()
    if not _KEY.fullmatch(key):
        raise ValueError("the API key must be one word of letters, digits and ._~+/-, such as dt_…")
    if not (server.is_encrypted or address.is_local(server.target)):
        raise ValueError(
            f"the API key is not sent to {server.target}, because the connection to another machine is not encrypted; "
            "use TLS: https://host:port"
        )
    return (("authorization", f"Bearer {key}"),)


def _version(path: str) -> _Version | None:
    """Returns what changes with the file's content, also if another file or link takes its place."""
    try:
        found = os.stat(path)  # noqa: PTH116 - it is called for each call
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _of(environment: Mapping[str, str], server: address.Address) -> str:
    if key := environment.get(VARIABLE, ""):
        return key
    data_dir = pathlib.Path(environment.get("DUETIME_DATA_DIR") or _DATA_DIR)
    own = str(data_dir / stack_key.KEY)
    try:
        content = stack_key.read(server.target, data_dir)
    except UnicodeError:
        raise ValueError(f"cannot read {own}: it is not text") from None
    return "" if content is None else _parse(content, own)


def _read(path: str) -> str:
    source = f"{FILE_VARIABLE}: "
    try:
        content = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"{source}cannot read {path}: {why}") from None
    found = _ALONE.fullmatch(content.strip())
    return found[1] if found is not None else _parse(content, path, source, ", or the key or token alone")


def _parse(content: str, path: str, source: str = "", alternative: str = "") -> str:
    found = _LINE.fullmatch(content.strip())
    if found is None:
        raise ValueError(f"{source}{path} must have one line, '{FILE_FORM}'{alternative}")
    return found[1]
