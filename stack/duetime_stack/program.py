"""A program that supervisord runs and restarts."""

import dataclasses
import functools
import importlib.util
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from duetime_stack import errors

Signal = Literal["TERM", "INT", "KILL"]


@dataclasses.dataclass(frozen=True)
class Program:
    """One process of the stack."""

    name: str
    """Its name in status lines and in its log's file name, such as `worker-0`."""
    command: Sequence[str]
    is_ready: Callable[[], bool]
    """Whether it is ready. Polled every few milliseconds until it is."""
    inherits: Callable[[str], bool]
    """Whether it gets a variable of the stack's environment; see `environments`."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Further variables. They are written to a file, so they must not be secret."""
    directory: pathlib.Path | None = None
    """Its working directory; if None, that of the stack."""
    stop_signal: Signal = "TERM"
    """Requests an orderly exit."""
    stop_seconds: int = 10
    """How long it may take to exit before it is killed."""
    orphan_signal: Signal = "KILL"
    """The signal that it gets when supervisord dies."""


def bound_to_parent(command: Sequence[str], orphan_signal: Signal, *, without: Iterable[str] = ()) -> list[str]:
    """Returns the command, wrapped so that the process gets this signal when its parent dies.

    Otherwise it would survive a kill -9 of its parent: each of supervisord's children has its own process group. The
    variables in `without` are removed from its environment, without writing their values to a command line or a file.
    """
    unset = [f"--unset={name}" for name in sorted(without)]
    stripped = [find("env", "coreutils"), *unset, "--", *command] if unset else command
    return [find("setpriv", "util-linux"), "--pdeathsig", orphan_signal, "--", *stripped]


@functools.cache
def find(tool: str, package: str) -> str:
    """Returns the path of a Linux tool. Raises StackError, which names its package, if it is missing."""
    found = shutil.which(tool)
    if found is None:
        raise errors.StackError(f"{tool} is missing; on Debian and Ubuntu, install the package {package}")
    return found


def package(name: str) -> pathlib.Path:
    """Returns the directory of an installed package without importing it, which takes time and may print warnings."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return pathlib.Path(spec.origin).parent


def python(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module with this Python.

    The working directory is not on its import path, where a user's file could shadow one of our modules. Workers append
    it themselves, to import the user's handlers.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
