"""Untrusted names, errors and results: no command prints their control characters, and one odd row breaks nothing."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2, message, message_factory, struct_pb2, timestamp_pb2

from duetime_client.cli import app, streams
from tests.support import answers
from tests.unit.client import test_calls

HOSTILE = (
    "[red]x[/red][link=http://a.example]y[/link] \x1b]0;pwned\x07\x1b[2J\x9b31m\x7f\x08\r\n"
    "\u202eabc\u2066\u2028\u2029\u200b\U000e0041 \x85 :smile: \\"
)
# What rich itself writes to a terminal: bold, the cursor's movements, and whether it is visible.
OF_RICH = re.compile(r"\x1b\[(?:[\d;]*[mAGK]|\?25[lh])")

COMMANDS = {
    "get 1": "GetTask",
    "list": "ListTasks",
    "logs 1": "ListTaskLogs",
    "explain 1": "ExplainTask",
    "workers": "ListWorkers",
    "audit": "ListAuditEvents",
    "cancel 1": "CancelTask",
    "retry 1": "RetryTask",
    "create N --in 1s": "CreateTask",
    "update 1 --name N": "UpdateTask",
    "delete 1": "DeleteTask",
    "bulk cancel --all --yes": "CancelTasks",
    "queue list": "ListQueues",
    "queue get N": "GetQueue",
    "queue pause N": "PauseQueue",
    "queue limit N --max-running 1": "UpdateQueue",
    "queue logs N": "ListQueueLogs",
    "schedule list": "ListSchedules",
    "schedule logs 1": "ListScheduleLogs",
    "schedule get 1": "GetSchedule",
    "schedule pause 1": "PauseSchedule",
    "schedule trigger 1": "TriggerSchedule",
    "schedule create N T --cron *": "CreateSchedule",
    "schedule recompute": "RecomputeSchedules",
    "schedule backfill 1 --from {0} --until {0}": "BackfillSchedule",
    "schedule preview --cron *": "PreviewSchedule",
}
"""The command line, and the rpc that it calls."""
DUE = "2026-12-01T09:00Z"
ENDS = [(-62_135_596_800, 0), (253_402_300_799, 999_999_999), (2**62, 0), (-(2**62), 0)]


def hostile(kind: Any, which: int) -> Any:
    """Returns a message of that kind with only hostile texts, and times at the ends of the calendar."""
    if kind is timestamp_pb2.Timestamp:
        return timestamp_pb2.Timestamp(seconds=ENDS[which][0], nanos=ENDS[which][1])
    if kind is duration_pb2.Duration:
        return duration_pb2.Duration(seconds=ENDS[which][0] % 2**62, nanos=0)
    if kind is struct_pb2.Struct:
        made = struct_pb2.Struct()
        made.update({HOSTILE: [HOSTILE, float("inf"), 1e300]})
        return made
    if kind is struct_pb2.Value:
        return struct_pb2.Value(number_value=float("nan"))
    made = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.name in ("next_page_token", "has_more"):
            continue
        value: Any = 1
        if field.type == field.TYPE_STRING:
            value = HOSTILE
        elif field.type == field.TYPE_MESSAGE:
            value = hostile(message_factory.GetMessageClass(field.message_type), which)
        elif field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
            value = float("nan")
        if field.is_repeated:
            getattr(made, field.name).extend([value])
        elif field.type == field.TYPE_MESSAGE:
            getattr(made, field.name).CopyFrom(value)
        elif field.containing_oneof is None or not made.WhichOneof(field.containing_oneof.name):
            setattr(made, field.name, value)
    return made


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs the command line in this process, and returns its exit code and what it wrote to its terminal."""
    for name, value in {"TERM": "xterm", "COLUMNS": "4000", "LINES": "50", "TZ": "Asia/Tokyo"}.items():
        monkeypatch.setenv(name, value)
    time.tzset()

    async def run(arguments: list[str], address: str, terminal: Terminal | None = None) -> tuple[int, str]:
        monkeypatch.setenv("DUETIME_ADDRESS", address)
        terminal = terminal or Terminal()
        with monkeypatch.context() as patched:
            for stream in ("stdout", "stderr"):
                patched.setattr(sys, stream, terminal)
            code = await asyncio.to_thread(app.build(), arguments, standalone_mode=False)
        return code or 0, terminal.getvalue()

    yield run
    monkeypatch.undo()
    time.tzset()


def answer_to(command: str, which: int) -> message.Message:
    """Returns the hostile response of the rpc that the command calls."""
    (method,) = (method for path, method in answers.METHODS.items() if path.endswith(f"/{COMMANDS[command]}"))
    made: message.Message = hostile(message_factory.GetMessageClass(method.output_type), which)
    return made


def arguments(command: str) -> list[str]:
    return command.format(DUE).split()


@pytest.mark.parametrize("command", COMMANDS)
async def test_no_control_character_of_the_server_reaches_the_terminal(on_a_terminal: Run, command: str) -> None:
    which = list(COMMANDS).index(command) % len(ENDS)
    async with answers.served(answer_to(command, which)) as server:
        code, written = await on_a_terminal(arguments(command), server.address)
    assert code == 0, written
    rest = OF_RICH.sub("", written).replace("\n", "")
    assert rest.isprintable()
    if "pwned" in rest:
        assert r"[red]x[/red][link=http://a.example]y[/link] \x1b]0;pwned\x07" in rest.replace(
            r"\u001b", r"\x1b"
        ).replace(r"\u0007", r"\x07")


@pytest.mark.parametrize("command", COMMANDS)
async def test_json_is_valid_and_printable(on_a_terminal: Run, command: str) -> None:
    which = (list(COMMANDS).index(command) + 1) % len(ENDS)
    async with answers.served(answer_to(command, which)) as server:
        code, written = await on_a_terminal([*arguments(command), "--json"], server.address)
    assert code == 0, written
    for line in written.splitlines():
        assert line.isprintable()
        json.loads(line)


class Full(Terminal):
    """A terminal, or a pipe, that cannot be written."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        raise streams.OutputError(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["plain", "json"])
@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_failed_output_ends_every_command(
    on_a_terminal: Run, command: str, is_terminal: bool, option: list[str]
) -> None:
    async with answers.served(answer_to(command, 0)) as server:
        with pytest.raises(streams.OutputError):
            await on_a_terminal([*arguments(command), *option], server.address, Full(is_terminal))


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["plain", "json"])
@pytest.mark.parametrize(
    ("code", "status"),
    [(grpc.StatusCode.INVALID_ARGUMENT, 2), (grpc.StatusCode.NOT_FOUND, 3), (grpc.StatusCode.INTERNAL, 1)],
)
async def test_control_characters_in_an_error_are_escaped(
    on_a_terminal: Run, code: grpc.StatusCode, status: int, option: list[str]
) -> None:
    refusal = test_calls.refusal(code, HOSTILE, HOSTILE, HOSTILE, name=HOSTILE)
    async with answers.served(refusal) as server:
        ended, written = await on_a_terminal(["get", "1", *option], server.address)
    assert ended == status
    assert "pwned" in written
    assert written.replace("\n", "").isprintable()
