"""The processes of a stack."""

import psutil

from tests.support import stacks


def everything(stack: stacks.Stack) -> list[psutil.Process]:
    """Returns all of the stack's processes."""
    stack_itself = psutil.Process(stack.process.pid)
    return [stack_itself, *stack_itself.children(recursive=True)]


def of(stack: stacks.Stack) -> dict[str, psutil.Process]:
    """Returns what supervisord keeps running, by the name of the program."""
    (supervisord,) = psutil.Process(stack.process.pid).children()
    return {_name(part): part for part in supervisord.children()}


def _name(process: psutil.Process) -> str:
    command = process.cmdline()
    return command[command.index("-m") + 1] if "-m" in command else process.name()
