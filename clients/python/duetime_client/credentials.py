"""The API key that a client sends with each call, and where it is found."""

from __future__ import annotations

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


def metadata(api_key: str | None, server: address.Address, environment: Mapping[str, str] = os.environ) -> Metadata:
    """Returns what each call to the server sends with it.

    Without an API key, that of the environment is sent, or, to the address of a stack that runs on this machine from
    the current directory, its admin key; an empty one stands for none. Raises ValueError, without quoting the key, for
    one that is malformed, cannot be read, or would be sent unencrypted to another machine.
    """
    key = _of(environment, server) if api_key is None else api_key
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


def _of(environment: Mapping[str, str], server: address.Address) -> str:
    if key := environment.get(VARIABLE, ""):
        return key
    if path := environment.get(FILE_VARIABLE, ""):
        return _read(path, f"{FILE_VARIABLE}: ")
    data_dir = pathlib.Path(environment.get("DUETIME_DATA_DIR") or _DATA_DIR)
    own = str(data_dir / stack_key.KEY)
    try:
        content = stack_key.read(server.target, data_dir)
    except UnicodeError:
        raise ValueError(f"cannot read {own}: it is not text") from None
    return "" if content is None else _parse(content, own)


def _read(path: str, source: str) -> str:
    try:
        content = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ValueError(f"{source}cannot read {path}: {why}") from None
    return _parse(content, path, source)


def _parse(content: str, path: str, source: str = "") -> str:
    found = _LINE.fullmatch(content.strip())
    if found is None:
        raise ValueError(f"{source}{path} must have one line, '{FILE_FORM}'")
    return found[1]
