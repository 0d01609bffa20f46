"""`duetime watch` as a process on a terminal of its own."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import re
import signal
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from duetime.v1 import task_pb2, task_service_pb2
from tests.support import answers

DUETIME = pathlib.Path(sys.executable).with_name("duetime")
HOSTILE = "[red]x[/red] \x1b]0;pwned\x07\x9b31m\x7f\r\n\u202eabc\u2028"
CHANGE = task_service_pb2.TaskEvent(
    cursor="c1",
    change=task_pb2.TaskLog(
        task_id=1, version=1, status=task_pb2.Task.running, change=HOSTILE, error_message=HOSTILE, actor=HOSTILE
    ),
)
HEARTBEAT = task_service_pb2.TaskEvent(cursor="c0", heartbeat=task_service_pb2.TaskEvent.Heartbeat())
END = task_service_pb2.TaskEvent(end=task_service_pb2.TaskEvent.End(reason="TASK_TERMINAL"))
HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"
# What rich itself writes: bold, the cursor's movements, and whether it is visible.
OF_RICH = re.compile(r"\x1b\[(?:[\d;]*[mAGK]|\?25[lh])")


class Watching:
    """A running `duetime watch`, and its output so far."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self.process = process
        self.written = b""
        self._terminal = terminal

    async def wrote(self, what: bytes) -> None:
        """Waits until it has written that."""
        while what not in self.written:
            assert await self._read(), self.written

    async def ended(self) -> int:
        """Waits until it has ended, and returns its exit code."""
        while await self._read():
            pass
        return await self.process.wait()

    async def _read(self) -> bytes:
        try:
            chunk = await asyncio.to_thread(os.read, self._terminal, 65_536)
        except OSError:  # the process that had it open has ended
            chunk = b""
        self.written += chunk
        return chunk


@pytest_asyncio.fixture
async def mute() -> AsyncIterator[answers.Mute]:
    async with answers.Mute(HEARTBEAT) as server:
        yield server


async def start(address: str, *arguments: str, **environment: str) -> Watching:
    ours, its = os.openpty()
    process = await asyncio.create_subprocess_exec(
        DUETIME, "watch", *arguments, stdin=its, stdout=its, stderr=its,
        env={**os.environ, "DUETIME_ADDRESS": address, "TERM": "xterm", "COLUMNS": "500", **environment},
    )  # fmt: skip
    os.close(its)
    return Watching(process, ours)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_a_watch_without_output_and_restores_the_cursor(
    mute: answers.Mute, number: signal.Signals
) -> None:
    watching = await start(mute.address)
    await watching.wrote(HIDDEN)
    watching.process.send_signal(number)
    assert await watching.ended() == 128 + number
    assert watching.written.count(SHOWN) == 1
    assert OF_RICH.sub("", watching.written.decode()).strip() == ""


async def test_no_control_character_of_a_change_reaches_the_terminal() -> None:
    async with answers.served(CHANGE, END) as server:
        watching = await start(server.address, "1")
        assert await watching.ended() == 6
    text = OF_RICH.sub("", watching.written.decode())
    assert r"[red]x[/red] \x1b]0;pwned\x07" in text
    assert text.replace("\r", "").replace("\n", "").isprintable()


async def test_json_of_a_watch_is_valid_and_printable() -> None:
    async with answers.served(CHANGE, END) as server:
        watching = await start(server.address, "1", "--json")
        assert await watching.ended() == 6
    (line,) = watching.written.decode().splitlines()
    assert line.isprintable()
    assert json.loads(line)["change"]["change"] == HOSTILE


async def test_dumb_terminal_gets_one_line_per_change() -> None:
    async with answers.served(CHANGE, END) as server:
        watching = await start(server.address, "1", TERM="dumb")
        assert await watching.ended() == 6
    assert "\x1b" not in watching.written.decode()
    assert len(watching.written.splitlines()) == 1


async def test_closed_reader_ends_a_watch_before_another_change() -> None:
    async with answers.Mute(CHANGE) as server:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", 'set -o pipefail; "$@" | head -1', "bash", DUETIME, "watch", "1",
            env={**os.environ, "DUETIME_ADDRESS": server.address},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        stdout, stderr = await process.communicate()
    assert (process.returncode, stdout.count(b"\n"), stderr) == (141, 1, b"")
