"""Servers and workers as real processes, and waiting for their log lines."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
import pathlib
import random
import signal
import socket
import sys
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

START_SECONDS = 60
OPEN = types.MappingProxyType({"DUETIME_AUTH": "open"})
"""Of servers and stacks whose tests and benchmarks are not about authentication."""
_PRINTED_LINES = 100


_PORTS = range(10_000, 32_768)
"""Below those that systems give to connections and to whom asks for any port: they would take one before its user."""
_SHARES = 20
"""How many processes that run tests can have ports of their own."""


def _own_ports() -> Iterator[int]:
    """Yields this process's share of the ports, again and again, from anywhere in it on."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = _PORTS[number % _SHARES :: _SHARES]
    return itertools.islice(itertools.cycle(own), random.SystemRandom().randrange(len(own)), None)


_ports = _own_ports()


def free_port() -> int:
    """Returns a port of 127.0.0.1 on which nothing listens, and which nobody else gets soon."""
    while True:
        port = next(_ports)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def connect(port: int) -> socket.socket:
    """Returns a connection to that port of 127.0.0.1, once something listens on it."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@dataclasses.dataclass
class Process:
    """A running process; `log` has the lines that it has logged so far."""

    process: asyncio.subprocess.Process
    log: list[str]
    reading: asyncio.Task[None]
    logged: asyncio.Condition
    address: str = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def wait_for_log(self, text: str, *, seconds: float = START_SECONDS, times: int = 1) -> str:
        """Returns the first log line that contains the text, once there are that many."""

        def found() -> list[str]:
            return [line for line in self.log if text in line]

        try:
            async with asyncio.timeout(seconds), self.logged:
                await self.logged.wait_for(lambda: len(found()) >= times or self.reading.done())
        except TimeoutError:
            pass
        if len(found()) < times:
            raise AssertionError(f"it did not log {text!r} {times} times:\n" + "\n".join(self.log))
        return found()[0]

    async def kill(self) -> None:
        """Kills it (SIGKILL), as a crash would."""
        self.process.kill()
        await self.ended()

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, *, seconds: float = 60) -> int:
        """Returns its exit status once it has exited."""
        async with asyncio.timeout(seconds):
            status = await self.process.wait()
            await self.reading
            return status


@dataclasses.dataclass(frozen=True)
class Pair:
    """A server and a worker on one database. The worker's handlers write to `directory`."""

    server: Process
    worker: Process
    directory: pathlib.Path


class Starter:
    """Starts processes with the settings of one test; further settings are keywords, such as `queues="a,b"`.

    A setting that is None has its default.
    """

    def __init__(
        self, directory: pathlib.Path, *, database_url: str, redis_url: str, wrapper: Sequence[str] = ()
    ) -> None:
        self._wrapper = wrapper  # a module, with its arguments, that runs the process's module
        self._environment: dict[str, object] = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")},
            **OPEN,
            "DUETIME_DATABASE_URL": database_url,
            "DUETIME_REDIS_URL": redis_url,
            "DUETIME_HANDLERS": "tests.support.handlers",
            "DUETIME_EGRESS_ALLOW": "127.0.0.1",  # where the receivers of tests listen
            "TEST_DIRECTORY": str(directory),
        }
        self._processes: list[Process] = []
        self._numbers = itertools.count()

    async def server(
        self, *, address: str = "", variables: Mapping[str, str] = types.MappingProxyType({}), **settings: object
    ) -> Process:
        """Starts a server, by default on a free port and with further variables, and returns it once it serves."""
        address = address or f"127.0.0.1:{free_port()}"
        settings = {"listen": address, **settings}
        server = await self._start("duetime_server", settings, ready="event=serving", variables=variables)
        server.address = address
        return server

    async def worker(self, *, variables: Mapping[str, str] = types.MappingProxyType({}), **settings: object) -> Process:
        """Starts a worker, with further environment variables, and returns it once it is working."""
        return await self._start("duetime_worker", settings, ready="event=working", variables=variables)

    async def _start(
        self,
        module: str,
        settings: dict[str, object],
        *,
        ready: str,
        variables: Mapping[str, str] = types.MappingProxyType({}),
    ) -> Process:
        chosen = self._environment | {f"DUETIME_{name.upper()}": value for name, value in settings.items()}
        environment = {name: str(value) for name, value in chosen.items() if value is not None}
        command = (sys.executable, "-m", *self._wrapper, module)
        started = await launch(*command, environment={**environment, **variables})
        self._processes.append(started)
        await started.wait_for_log(ready)
        return started

    async def kill_all(self) -> None:
        """Kills the processes that still run."""
        for process in self._processes:
            if process.process.returncode is None:
                await process.kill()

    def print_logs(self) -> None:
        """Prints what each process logged last: pytest shows it of tests that failed."""
        for process in self._processes:
            print(*process.log[-_PRINTED_LINES:], "", sep="\n")  # noqa: T201


async def launch(*command: str, environment: Mapping[str, str], **options: Any) -> Process:
    """Starts a process whose output is its log; the options are those of `subprocess.Popen`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **options,
    )
    log: list[str] = []
    logged = asyncio.Condition()
    return Process(process, log, asyncio.create_task(_read(process, log, logged)), logged)


async def _read(process: asyncio.subprocess.Process, log: list[str], logged: asyncio.Condition) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        async with logged:
            log.append(line.decode(errors="replace").rstrip())
            logged.notify_all()
    async with logged:
        logged.notify_all()
