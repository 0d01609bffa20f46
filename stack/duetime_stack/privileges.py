"""The user that everything runs as when root starts it: all parts, under one name that can do nothing else."""

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
    """Continues as that user, in this same process, if it is root's; gives him the data directory before.

    With `needs_directory` he has to read the directory where it was started. Raises StackError if that is impossible,
    before anything is changed that is not Duetime's.
    """
    if os.geteuid() != 0:
        return
    user = ensure_user()
    _hand_over(data_dir.absolute().resolve(), user)
    as_user = permissions.require(become(user), data_dir.absolute(), needs_directory=needs_directory)
    # In a new program: what a thread or a library of this one took as root would stay root's.
    command = [*as_user, sys.executable, *sys.orig_argv[1:]]
    os.execve(command[0], command, {**os.environ, "HOME": str(data_dir.absolute()), "USER": NAME, "LOGNAME": NAME})  # noqa: S606


def become(user: pwd.struct_passwd) -> list[str]:
    """Returns what to put before a command so that the user runs it."""
    identity = ("--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups")
    return [program.find("setpriv", "util-linux"), *identity, "--inh-caps=-all", "--"]


def ensure_user() -> pwd.struct_passwd:
    """Returns the user, whom root makes if he is missing. Raises StackError if that fails."""
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(NAME)
    command = ("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", NAME)
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - root's PATH
        reason = made.stderr.strip()
    except FileNotFoundError:
        reason = "there is no useradd"
    try:  # another one that starts may have been first
        return pwd.getpwnam(NAME)
    except KeyError:
        raise errors.StackError(
            f"root runs Duetime as the user {NAME}, and could not make that user ({reason}); make it, or start as "
            "another user than root"
        ) from None


def _hand_over(data_dir: pathlib.Path, user: pwd.struct_passwd) -> None:
    """Makes the directory for the user, or gives it to him if it is root's."""
    try:
        _make(data_dir)
        directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise layout.unusable(data_dir, error) from error
    try:
        owner = os.fstat(directory).st_uid
        if owner == user.pw_uid:
            # Whatever is in there is his to arrange: root follows nothing that he may have put there.
            return
        if owner != 0:
            raise errors.StackError(
                f"{data_dir} belongs to the user {_name(owner)}: start Duetime as that user, or give it to the user "
                f"that root runs it as, with chown -R {NAME}: {data_dir}"
            )
        with _unused(data_dir):
            for _, names, files, here in os.fwalk(dir_fd=directory):
                for name in (*names, *files):
                    os.chown(name, user.pw_uid, user.pw_gid, dir_fd=here, follow_symlinks=False)
            # Last, so that after a kill -9 the next start begins again.
            os.fchown(directory, user.pw_uid, user.pw_gid)
    finally:
        os.close(directory)


def _make(data_dir: pathlib.Path) -> None:
    if data_dir.exists():
        return
    missing = [parent for parent in reversed(data_dir.parents) if not parent.exists()]
    for parent in missing:
        parent.mkdir()
        parent.chmod(0o755)  # it is ours, and the user has to pass it
    data_dir.mkdir(mode=stat.S_IRWXU)


@contextlib.contextmanager
def _unused(data_dir: pathlib.Path) -> Iterator[None]:
    """Holds a data directory of root's. Raises StackError if it is something else, or is in use."""
    paths = layout.Layout(data_dir)
    if not (paths.run / "up.lock").exists():
        if any(data_dir.iterdir()):
            raise errors.StackError(
                f"{data_dir} has other files than Duetime's, and would be given to the user {NAME} with all of them; "
                "choose an empty or a new directory with --data-dir or DUETIME_DATA_DIR"
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
