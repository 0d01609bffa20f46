"""The user that the stack's programs run as where the tests are root's: PostgreSQL does not run as root."""

import os
import pathlib
import shutil

from duetime_stack import permissions, privileges


def become() -> list[str]:
    """Returns what to put before a command so that it does not run as root."""
    if os.geteuid() != 0:
        return []
    as_user = privileges.become(privileges.ensure_user())
    return [*permissions.mount_namespace(as_user), *as_user]


def make_directory(path: pathlib.Path) -> pathlib.Path:
    """Makes a directory that is this user's."""
    path.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(path, privileges.NAME, privileges.NAME)
    return path
