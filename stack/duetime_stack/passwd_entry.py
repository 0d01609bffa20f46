"""Running PostgreSQL's tools as a user without an entry in /etc/passwd, as in some containers: they require one."""

import functools
import os
import pathlib
import pwd
import subprocess
from collections.abc import Sequence

from duetime_stack import errors, program

_ID = ("id", "--user", "--name")


def wrapped(command: Sequence[str], directory: pathlib.Path) -> list[str]:
    """Returns the command, wrapped so that its user has an entry; the wrapper may write files to `directory`.

    Raises StackError if the user has no entry and no wrapper works.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return [*_wrapper(directory), *command]
    return list(command)


@functools.cache
def _wrapper(directory: pathlib.Path) -> tuple[str, ...]:
    for wrapper in (_nss_wrapper(directory), _user_namespace()):
        found = subprocess.run([*wrapper, *_ID], capture_output=True, check=False)  # noqa: S603 - the program is ours
        if found.returncode == 0 and not found.stderr:
            return wrapper
    raise errors.StackError(
        f"the user {os.geteuid()} has no entry in /etc/passwd, which PostgreSQL needs to create its data directory, "
        "and this machine allows no user namespaces: add an entry, install libnss-wrapper, or use your own PostgreSQL "
        "with DUETIME_DATABASE_URL"
    )


def _nss_wrapper(directory: pathlib.Path) -> tuple[str, ...]:
    user, group = os.geteuid(), os.getegid()
    passwd, groups = directory / "passwd", directory / "group"
    passwd.write_text(f"duetime:x:{user}:{group}::/:/usr/sbin/nologin\n")
    groups.write_text(f"duetime:x:{group}:\n")
    return (
        program.find("env", "coreutils"),
        "LD_PRELOAD=libnss_wrapper.so",
        f"NSS_WRAPPER_PASSWD={passwd}",
        f"NSS_WRAPPER_GROUP={groups}",
    )


def _user_namespace() -> tuple[str, ...]:
    """In a user namespace the user can map to another user's id, while its files outside keep its own."""
    other = next((entry for entry in pwd.getpwall() if entry.pw_uid > 0), None)
    number = str(other.pw_uid if other is not None else 65534)
    return (program.find("unshare", "util-linux"), "--user", "--map-user", number, "--map-group", number)
