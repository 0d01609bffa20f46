"""The admin key of a stack that runs on this machine, and which calls it is sent with.

The key permits everything, so it is sent only to the address on which the stack listens now. Another one
with the same port, such as ::1 or 127.0.0.2, may be another user's, and the name localhost may stand for each of them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pathlib
import re
import stat
import sys
from typing import TypeAlias

from duetime_client import address

if sys.platform != "win32":  # `duetime up` does not run there
    import fcntl
    import pwd

KEY = "admin.key"
_ADDRESS = "admin.address"
_LOCK = "run/up.lock"
"""`duetime up` holds it as long as it runs: a kill -9 leaves the other files."""
_STACK_USER = "duetime"
"""Whose stack it is if root starts it."""
_MAX_BYTES = 4096

_Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_LISTENS_AT = re.compile(r"\[?([0-9a-fA-F.:]+)\]?:(\d{1,5})", re.ASCII)
_DIALED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not to listen on


def read(target: str, data_dir: pathlib.Path) -> str | None:
    """Returns the content of the key's file if the target is where the data directory's stack listens now.

    Returns None also if another user could have written any of it. Raises UnicodeError if it is not text.
    """
    if sys.platform == "win32":
        return None
    try:
        directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(directory)
        if status.st_uid not in _own_users() or status.st_mode & 0o022:
            return None
        if not _is_at(target, _content(directory, _ADDRESS, status.st_uid)) or not _is_running(
            directory, status.st_uid
        ):
            return None
        return _content(directory, KEY, status.st_uid).decode()
    except OSError:
        return None
    finally:
        os.close(directory)


def _own_users() -> set[int]:
    own = {os.geteuid()}
    if own == {0}:
        with contextlib.suppress(KeyError):
            own.add(pwd.getpwnam(_STACK_USER).pw_uid)
    return own


def _is_at(target: str, listens_at: bytes) -> bool:
    found = _LISTENS_AT.fullmatch(listens_at.decode("ascii", "replace").strip())
    hosts = address.hosts(target)
    if found is None or len(hosts) != 1 or address.port(target) != int(found[2]):
        return False
    stack = _ip(_DIALED.get(found[1], found[1]))
    return stack is not None and stack.is_loopback and _ip(hosts[0]) == stack


def _ip(text: str) -> _Ip | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_running(directory: int, owner: int) -> bool:
    lock = _opened(directory, _LOCK, owner)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _content(directory: int, name: str, owner: int) -> bytes:
    file = _opened(directory, name, owner)
    try:
        return os.read(file, _MAX_BYTES)
    finally:
        os.close(file)


def _opened(directory: int, name: str, owner: int) -> int:
    """Opens a regular file of the owner that is no symbolic link. Raises OSError for any other."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
        os.close(file)
        raise PermissionError(f"{name} is not a file of the data directory's owner")
    return file
