"""A program that supervisord keeps running."""

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
    """Names it to people and in the file names of its log: `worker-0`."""
    command: Sequence[str]
    is_ready: Callable[[], bool]
    """Whether it does its work. Asked every few milliseconds until it does."""
    inherits: Callable[[str], bool]
    """Whether it gets the variable of that name from the stack's environment; see `environments`."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What is added to that. It stands in a file, so no secrets."""
    directory: pathlib.Path | None = None
    """Where it runs; if None, where the stack was started."""
    stop_signal: Signal = "TERM"
    """Asks it to end in order."""
    stop_seconds: int = 10
    """How long it may take to do so."""
    orphan_signal: Signal = "KILL"
    """What it gets when supervisord is killed."""


def bound_to_parent(command: Sequence[str], orphan_signal: Signal, *, without: Iterable[str] = ()) -> list[str]:
    """Returns the command so that the process gets this signal when the process that started it is gone.

    Nobody else would end it after a kill -9: supervisord's children each have a process group of their own. It does not
    get the variables in `without`; their values stand in no command line and no file.
    """
    unset = [f"--unset={name}" for name in sorted(without)]
    stripped = [find("env", "coreutils"), *unset, "--", *command] if unset else command
    return [find("setpriv", "util-linux"), "--pdeathsig", orphan_signal, "--", *stripped]


@functools.cache
def find(tool: str, package: str) -> str:
    """Returns the path of a tool of Linux. Raises StackError, which names its package, if it is missing."""
    found = shutil.which(tool)
    if found is None:
        raise errors.StackError(f"{tool} is missing; on Debian and Ubuntu it is in the package {package}")
    return found


def package(name: str) -> pathlib.Path:
    """Returns where an installed package is, without importing it: that takes time, and may print warnings."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return pathlib.Path(spec.origin).parent


def python(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module with this Python.

    The working directory is not first on its import path: a file of the user's that is called as one of ours
    would take its place. Workers put it last by themselves, for the user's handlers.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
