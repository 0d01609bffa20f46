"""Running the reference programs in `bench/references/`, each in a virtual environment of its own."""

import asyncio
import json
import os
import pathlib
import sys
from typing import Any

_REFERENCES = pathlib.Path(__file__).parent / "references"
_ENVIRONMENTS = pathlib.Path(".bench", "environments")
_START_SECONDS = 60


class Reference:
    """One directory of `bench/references/`: its `requirements.txt` and programs."""

    def __init__(self, name: str) -> None:
        self._folder = _REFERENCES / name
        self._environment = _ENVIRONMENTS / name

    async def install(self) -> None:
        """Creates its environment, unless it exists."""
        requirements = (self._folder / "requirements.txt").read_text()
        installed = (
            self._environment / "requirements.txt"
        )  # written last, so that an incomplete environment is recreated
        if installed.exists() and installed.read_text() == requirements:
            return
        await _call(sys.executable, "-m", "venv", "--clear", str(self._environment))
        await _call(str(self._python), "-m", "pip", "install", "-qq", "-r", str(self._folder / "requirements.txt"))
        installed.write_text(requirements)

    async def run(self, program: str, *arguments: object) -> dict[str, Any]:
        """Runs one of its programs, and returns the JSON object in the last line of its output."""
        output = await _call(str(self._python), str(self._folder / f"{program}.py"), *map(str, arguments))
        answer: dict[str, Any] = json.loads(output.splitlines()[-1])
        return answer

    async def start(self, program: str, *arguments: object) -> asyncio.subprocess.Process:
        """Starts one of its programs, and returns the process once it has printed its first line.

        Raises RuntimeError if that takes more than a minute.
        """
        process = await asyncio.create_subprocess_exec(
            str(self._python),
            str(self._folder / f"{program}.py"),
            *map(str, arguments),
            env=_environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            process.kill()
            raise RuntimeError(f"{program} of {self._folder.name} was not ready within {_START_SECONDS} s") from None
        if not line:
            raise RuntimeError(f"{program} of {self._folder.name} exited before it was ready")
        return process

    @property
    def _python(self) -> pathlib.Path:
        return self._environment / "bin" / "python"


def _environment() -> dict[str, str]:
    """Returns this process's environment without Duetime's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}


async def _call(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{errors.decode()}")
    return output.decode()
