"""Whole stacks: `duetime up` as a process."""

import asyncio
import dataclasses
import os
import pathlib
import signal
import sys
import types
from collections.abc import Mapping, Sequence

from tests.support import processes

READY_SECONDS = 120


@dataclasses.dataclass(frozen=True)
class Stack:
    """A running `duetime up`."""

    process: processes.Process
    url: str
    """The URL of REST: `http://127.0.0.1:…`, or `https://`."""
    database_url: str
    redis_url: str
    data_dir: pathlib.Path

    @property
    def address(self) -> str:
        """The address of gRPC: the same `host:port`."""
        return self.url.partition("://")[2]

    @property
    def mailbox(self) -> pathlib.Path:
        """The directory where mail arrives."""
        return self.data_dir / "mailbox" / "new"

    async def stop(self) -> int:
        """Stops it as Ctrl-C does and returns its exit status."""
        self.process.process.send_signal(signal.SIGINT)
        return await self.process.ended()


async def launch(
    *flags: str,
    directory: pathlib.Path,
    cwd: pathlib.Path | None = None,
    wrapper: Sequence[str] = (),
    variables: Mapping[str, str] = types.MappingProxyType({}),
    demands_keys: bool = False,
) -> processes.Process:
    """Starts `duetime up` with these flags, in its own process group, so that the group can be killed.

    With `demands_keys` it has its default, and otherwise callers need no API keys.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    if not demands_keys:
        environment |= processes.OPEN
    return await processes.launch(
        *(*wrapper, str(pathlib.Path(sys.executable).with_name("duetime")), "up", *flags),
        # Tests' receivers listen on 127.0.0.1.
        environment={
            **environment,
            "TEST_DIRECTORY": str(directory),
            "DUETIME_EGRESS_ALLOW": "127.0.0.1",
            **variables,
        },
        start_new_session=True,
        cwd=cwd,
    )


async def start(
    data_dir: pathlib.Path,
    *flags: str,
    port: int | None = None,
    handlers: str = "tests.support.handlers",
    cwd: pathlib.Path | None = None,
    variables: Mapping[str, str] = types.MappingProxyType({}),
    demands_keys: bool = False,
) -> Stack:
    """Starts a stack with its data in `data_dir` and returns it once it is ready."""
    flags = ("--data-dir", str(data_dir), "--port", str(port or processes.free_port()), *flags)
    process = await launch(
        *("--handlers", handlers, *flags),
        directory=data_dir,
        cwd=cwd,
        variables=variables,
        demands_keys=demands_keys,
    )
    url, database_url, redis_url = [
        (await process.wait_for_log(label, seconds=READY_SECONDS)).removeprefix(label)
        for label in ("duetime is ready at ", "  PostgreSQL  ", "  Redis       ")
    ]
    return Stack(process, url, database_url, redis_url, data_dir)


async def kill_group(process: processes.Process) -> None:
    """Kills the process group: `duetime up` and those of its processes that are still in it."""
    os.killpg(process.pid, signal.SIGKILL)
    await asyncio.wait_for(process.process.wait(), 10)
