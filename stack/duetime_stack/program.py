"""A program that supervisord keeps running."""

import dataclasses
import functools
import pathlib
import pwd
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
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
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What is added to the stack's environment."""
    directory: pathlib.Path | None = None
    """Where it runs; if None, where the stack was started."""
    user: str | None = None
    """Who runs it; if None, whoever started the stack."""
    stop_signal: Signal = "TERM"
    """Asks it to end in order."""
    stop_seconds: int = 10
    """How long it may take to do so."""
    orphan_signal: Signal = "KILL"
    """What it gets when supervisord is killed."""


def tied(command: Sequence[str], orphan_signal: Signal, *, user: str | None = None) -> list[str]:
    """Returns the command so that the process gets this signal when the process that started it is gone.

    Nobody else would end it after a kill -9: supervisord's children each have a process group of their own. It runs
    as `user`, if one is given, without a fork that becomes that user: in a process with gRPC's threads that crashes.
    """
    become = []
    if user is not None:
        become = ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--clear-groups"]
    return [_setpriv(), *become, "--pdeathsig", orphan_signal, "--", *command]


@functools.cache
def _setpriv() -> str:
    found = shutil.which("setpriv")
    if found is None:
        raise errors.StackError("setpriv is missing; on Debian and Ubuntu it is in the package util-linux")
    return found


def python(module: str, *arguments: str) -> list[str]:
    """Returns the command that runs a module with this Python.

    The working directory is not first on its import path: a file of the user's that is called as one of ours
    would take its place. Workers put it last by themselves, for the user's handlers.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
