"""README's commands and programs work, literally and in order, in a new directory."""

import asyncio
import os
import pathlib
import re
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support import pages, stacks

pytestmark = pytest.mark.timeout(300)
README = (pages.ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:8080"
SECONDS = 60

_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for name, text in _BLOCK.findall(README) if name == language]


@pytest_asyncio.fixture
async def stack(short_directory: pathlib.Path) -> AsyncIterator[stacks.Stack]:
    """A stack as `make up ARGS="--handlers my_handlers"` starts it, in a directory with README's handler."""
    directory = short_directory / "readme"
    directory.mkdir(mode=0o755)
    handlers, _ = blocks("python")
    (directory / "my_handlers.py").write_text(handlers)
    (directory / "my_handlers.py").chmod(0o644)
    (directory / ".venv").symlink_to(sys.prefix)
    stack = await stacks.start(directory / ".duetime", handlers="my_handlers", cwd=directory, demands_keys=True)
    yield stack
    assert await stack.stop() == 0


async def run(stack: stacks.Stack, *command: str) -> tuple[int, str]:
    """Runs a command where the stack was started, at the stack's address: its exit status and output."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    process = await asyncio.create_subprocess_exec(
        *(each.replace(ADDRESS, stack.address) for each in command),
        cwd=stack.data_dir.parent,
        env={**given, "DUETIME_ADDRESS": stack.address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(SECONDS):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def run_until_it_succeeds(stack: stacks.Stack, *command: str) -> str:
    """Runs it until it succeeds: a mail or a report arrives within seconds."""
    async with asyncio.timeout(SECONDS):
        while True:
            status, output = await run(stack, *command)
            if status == 0:
                return output
            await asyncio.sleep(0.1)


def commands(block: str) -> list[str]:
    """Returns the commands of a block, which may take several lines, but for those of make."""
    lines = re.findall(r"(?:[^\n']|'[^']*')+", block)
    return [line for line in lines if not line.startswith("make ")]


async def test_readme_works_literally(stack: stacks.Stack) -> None:
    outputs: dict[str, str] = {}
    for command in (each for block in blocks("sh") for each in commands(block)):
        if command.startswith(("cat ", "ls ")):
            outputs[command] = await run_until_it_succeeds(stack, "sh", "-c", command)
            continue
        status, outputs[command] = await run(stack, "sh", "-c", command)
        assert (status, command) == (0, command), outputs[command]
        assert '"code"' not in outputs[command], (command, outputs[command])
    created, watched, mail, *rest = outputs.values()
    assert created == '{"task_id":1}'
    assert [line for line in watched.splitlines() if line.startswith("data:")][-1].endswith('"TASK_TERMINAL"}}')
    assert "Subject: It is time" in mail
    assert len(rest) == 8
    assert '"schedule_id":1,' in rest[4]

    _, program = blocks("python")
    status, output = await run(stack, sys.executable, "-c", program)
    assert (status, output) == (0, "pending\nrunning\ncompleted\n{'greeting': 'Hello, Ada!'}\n")
