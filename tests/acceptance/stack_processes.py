"""The processes of a stack."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import psutil

from tests.support import stacks

_Read = TypeVar("_Read")


def all_of(stack: stacks.Stack) -> list[psutil.Process]:
    """Returns all processes of the stack."""
    stack_itself = psutil.Process(stack.process.pid)
    return [stack_itself, *stack_itself.children(recursive=True)]


def read(stack: stacks.Stack, of: Callable[[psutil.Process], _Read]) -> Iterator[tuple[psutil.Process, _Read]]:
    """Yields the processes, each with what `of` returns, except those that exit meanwhile, as PostgreSQL's may."""
    for process in all_of(stack):
        try:
            found = of(process)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
        yield process, found


def by_program(stack: stacks.Stack) -> dict[str, psutil.Process]:
    """Returns supervisord's children by the name of their program."""
    (supervisord,) = psutil.Process(stack.process.pid).children()
    return {_name(part): part for part in supervisord.children()}


def _name(process: psutil.Process) -> str:
    command = process.cmdline()
    return command[command.index("-m") + 1] if "-m" in command else process.name()
