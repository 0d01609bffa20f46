"""Running the command line against a stack."""

import asyncio
import os
import pathlib
import shlex
import subprocess
import sys
import types
from collections.abc import Mapping

from tests.support import stacks

DUETIME = pathlib.Path(sys.executable).with_name("duetime")


async def run(
    stack: stacks.Stack, line: str, variables: Mapping[str, str] = types.MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Runs `duetime` with the arguments of a shell line, and returns the completed process."""
    command = [str(DUETIME), *shlex.split(line), "--server", stack.url]
    environment = {**os.environ, **variables}
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=environment
    )
