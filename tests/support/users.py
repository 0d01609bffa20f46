"""The user that runs PostgreSQL if root runs the tests: PostgreSQL does not run as root."""

import os
import pathlib

from duetime_stack import permissions, privileges


def become() -> list[str]:
    """Returns a command prefix that drops root's privileges, or nothing."""
    if os.geteuid() != 0:
        return []
    as_user = privileges.become(privileges.ensure_user())
    return [*permissions.mount_namespace(as_user), *as_user]


def make_directory(path: pathlib.Path) -> pathlib.Path:
    """Creates a directory that this user owns."""
    path.mkdir(mode=0o700, exist_ok=True)
    give(path)
    return path


def give(path: pathlib.Path) -> None:
    """Makes this user the owner of a file."""
    if os.geteuid() == 0:
        user = privileges.ensure_user()
        os.chown(path, user.pw_uid, user.pw_gid)
