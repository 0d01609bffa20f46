"""Dropping root's privileges: everything that root starts runs as a system user of its own."""

import contextlib
import os
import pathlib
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator

from duetime_stack import errors, layout, lock, permissions, pgdata, program

NAME = "duetime"


def drop(data_dir: pathlib.Path, *, needs_directory: bool) -> None:
    """Executes this program again as the system user if root runs it, after giving that user the data directory.

    With `needs_directory`, the user must be able to read the working directory. Raises StackError if that fails, before
    changing anything that is not Duetime's.
    """
    if os.geteuid() != 0:
        return
    user = ensure_user()
    _transfer(data_dir.absolute().resolve(), user)
    as_user = permissions.require(become(user), data_dir.absolute(), needs_directory=needs_directory)
    # A new program, because whatever this one's threads and libraries acquired as root would stay root's.
    command = [*as_user, sys.executable, *sys.orig_argv[1:]]
    os.execve(command[0], command, {**os.environ, "HOME": str(data_dir.absolute()), "USER": NAME, "LOGNAME": NAME})  # noqa: S606


def become(user: pwd.struct_passwd) -> list[str]:
    """Returns the command prefix that runs a command as the user."""
    identity = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups")
    return [program.find("setpriv", "util-linux"), *identity, "--inh-caps=-all", "--"]


def ensure_user() -> pwd.struct_passwd:
    """Returns the user, and creates it if it is missing. Raises StackError if that fails."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(NAME)
    command = ("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME)
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - root's PATH
        reason = made.stderr.strip()
    except FileNotFoundError:
        reason = "useradd is missing"
    try:  # a concurrent start may have created it
        return pwd.getpwnam(NAME)
    except KeyError:
        raise errors.StackError(
            f"started by root, Duetime runs as the user {NAME}, which could not be created ({reason}); create it, or "
            "start Duetime as another user"
        ) from None


def _transfer(data_dir: pathlib.Path, user: pwd.struct_passwd) -> None:
    """Creates the directory for the user, or transfers it if it is root's."""
    try:
        _make(data_dir)
        directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise layout.unusable(data_dir, error) from error
    try:
        owner = os.fstat(directory).st_uid
        if owner == user.pw_uid:
            # Its content is the user's: root must not follow links that the user may have put there.
            return
        if owner != 0:
            raise errors.StackError(
                f"{data_dir} belongs to the user {_name(owner)}: start Duetime as that user, or change the owner with "
                f"chown -R {NAME}: {data_dir}"
            )
        with _unused(data_dir):
            for _, names, files, here in os.fwalk(dir_fd=directory):
                for name in (*names, *files):
                    os.chown(name, user.pw_uid, user.pw_gid, dir_fd=here, follow_symlinks=False)
            # Last, so that the next start repeats this after a kill -9.
            os.fchown(directory, user.pw_uid, user.pw_gid)
    finally:
        os.close(directory)


def _make(data_dir: pathlib.Path) -> None:
    if data_dir.exists():
        return
    missing = [parent for parent in reversed(data_dir.parents) if not parent.exists()]
    for parent in missing:
        parent.mkdir()
        parent.chmod(0o755)  # the user must be able to enter it
    data_dir.mkdir(mode=stat.S_IRWXU)


@contextlib.contextmanager
def _unused(data_dir: pathlib.Path) -> Iterator[None]:
    """Locks a data directory of root's. Raises StackError if it is not one, or is in use."""
    paths = layout.Layout(data_dir)
    if not (paths.run / "up.lock").exists():
        if any(data_dir.iterdir()):
            raise errors.StackError(
                f"{data_dir} has files that are not Duetime's, and starting would change their owner to {NAME}; choose "
                "an empty or a new directory with --data-dir or DUETIME_DATA_DIR"
            )
        yield
        return
    with lock.exclusive(paths):
        if not pgdata.is_new(paths.postgres):
            pgdata.wait_for_predecessor(paths.postgres)
        yield


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
