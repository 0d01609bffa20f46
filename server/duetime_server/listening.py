"""The address that a server listens on: a port, or a unix socket that no other server uses."""

import contextlib
import os
import pathlib
import re
import socket
import stat

FORM = "must be host:port, such as 127.0.0.1:50051, or unix: and a path of at most 107 bytes, such as unix:/run/d.sock"

_PORT = re.compile(r"\S+:[0-9]{1,5}")
_SOCKET = re.compile(r"unix:(//)?(?P<path>/.+)")
_MAX_PATH_BYTES = 107
"""The longest path of a unix socket, in bytes (`sun_path` in unix(7), without its final NUL)."""


def check(address: str) -> str:
    """Returns the address. Raises ValueError if it is malformed."""
    path = _path(address)
    if path is not None and len(bytes(path)) <= _MAX_PATH_BYTES:
        return address
    if path is None and _PORT.fullmatch(address) and int(address.rpartition(":")[2]) <= 65535:
        return address
    raise ValueError(FORM)


def clear(address: str) -> None:
    """Removes a unix socket that a killed server left behind.

    gRPC itself would silently replace one that is in use, and any other file. Raises OSError for both.
    """
    path = _path(address)
    if path is None:
        return
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(f"{path} is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(os.fspath(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise FileExistsError(f"another server listens at {path}")


def _path(address: str) -> pathlib.Path | None:
    match = _SOCKET.fullmatch(address)
    return pathlib.Path(match["path"]) if match is not None else None
