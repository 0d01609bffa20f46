"""The command line against a whole stack, as its own process."""

import asyncio
import dataclasses
import json
import os
import pathlib
import signal
import sys
import urllib.request
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

DUETIME = pathlib.Path(sys.executable).with_name("duetime")


@dataclasses.dataclass
class Result:
    """How a run of the command line ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.stdout)

    @property
    def json_lines(self) -> list[Any]:
        """The documents on stdout, one a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


async def spawn(stack: Any, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        DUETIME,
        *arguments,
        env={**os.environ, "DUETIME_ADDRESS": stack.address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(stack: Any) -> Run:
    async def run(*arguments: str) -> Result:
        process = await spawn(stack, *arguments)
        stdout, stderr = await process.communicate()
        assert process.returncode is not None
        return Result(process.returncode, stdout.decode(), stderr.decode())

    return run


@pytest.fixture
def name() -> str:
    """A task's name that no other test uses, and no handler has."""
    return f"cli {uuid.uuid4()}"


async def rest(stack: Any, path: str) -> Any:
    def get() -> Any:
        with urllib.request.urlopen(f"http://{stack.address}/api/{path}") as response:
            return json.load(response)

    return await asyncio.to_thread(get)


async def test_task_lives_its_life_on_the_command_line(run: Run, name: str) -> None:
    created = await run("create", name, "--in", "1d", "--data", '{"n": 1}', "--json")
    task_id = str(created.json["task_id"])
    assert (await run("update", task_id, "--in", "2d", "--max-retries", "0")).stdout == "Task updated successfully\n"
    assert (await run("get", task_id, "--json")).json["max_retries"] == 0
    assert (await run("cancel", task_id)).stdout == f"Task {task_id} is cancelled\n"
    assert (await run("retry", task_id)).stdout == f"Task {task_id} is pending\n"
    watched = await run("watch", task_id)
    assert watched.exit_code == 6
    assert 'no handler is registered for "cli ' in watched.stdout.splitlines()[-1]
    assert [task["task_id"] for task in (await run("list", "--name", name, "--json")).json_lines] == [int(task_id)]
    assert (await run("delete", task_id, "--json")).json == {"message": "Task deleted successfully"}
    changes = [log["change"] for log in (await run("logs", task_id, "--json")).json_lines]
    assert changes == ["created", "updated", "cancelled", "retried", "started", "failed", "deleted"]


async def test_json_is_that_of_rest(run: Run, stack: Any, name: str) -> None:
    created = await run("create", name, "--in", "0s", "--max-retries", "0", "--timeout", "1.5s", "--json")
    task_id = created.json["task_id"]
    watched = await run("watch", str(task_id), "--json")
    assert (await run("get", str(task_id), "--json")).json == await rest(stack, f"tasks/{task_id}")
    logs = (await rest(stack, f"tasks/{task_id}/logs"))["logs"]
    assert (await run("logs", str(task_id), "--json")).json_lines == logs
    assert watched.json_lines[-1]["change"] == logs[-1]


async def test_watch_of_a_task_that_completes_exits_with_0(run: Run) -> None:
    data = json.dumps({"email": "a@example.com", "subject": "Hi", "body": "Hello"})
    task_id = str((await run("create", "Send Email", "--in", "0s", "--data", data, "--json")).json["task_id"])
    watched = await run("watch", task_id)
    assert (watched.exit_code, watched.stderr) == (0, "")
    assert watched.stdout.endswith("completed  completed\n")
    assert "completed" in (await run("list", "--status", "completed", "--order-by", "task_id desc")).stdout


async def test_watch_of_many_tells_what_matches_until_ctrl_c(run: Run, stack: Any, name: str) -> None:
    watching = await spawn(stack, "watch", "--name", name, "--json")
    assert watching.stdout is not None
    reading = asyncio.create_task(watching.stdout.readline())
    created = []
    while not reading.done():  # the watch begins when it begins: at some task it sees
        created.append((await run("create", name, "--in", "1d", "--json")).json["task_id"])
    assert json.loads(await reading)["change"]["task_id"] in created
    watching.send_signal(signal.SIGINT)
    _, stderr = await watching.communicate()
    assert (watching.returncode, stderr) == (130, b"")


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["get", "4294967295"], 3, "TASK_NOT_FOUND"),
        (["watch", "4294967295"], 3, "TASK_NOT_FOUND"),
        (["get", "4294967296"], 2, "INVALID_ARGUMENT"),
        (["create", "", "--in", "1s"], 2, "INVALID_ARGUMENT"),
        (["create", "N", "--in", "1s", "--data", '{"id": 9007199254740993}'], 2, "INVALID_ARGUMENT"),
        (["watch", "--cursor", "nonsense"], 2, "INVALID_ARGUMENT"),
        (["get", "1", "--server", "127.0.0.1:1"], 5, "UNAVAILABLE"),
    ],
)
async def test_failure_has_its_exit_code_and_reason(run: Run, arguments: list[str], code: int, reason: str) -> None:
    plain, as_json = await asyncio.gather(run(*arguments), run(*arguments, "--json"))
    assert (plain.exit_code, as_json.exit_code, plain.stdout, as_json.stdout) == (code, code, "", "")
    assert plain.stderr.startswith("error: ")
    assert len(plain.stderr.splitlines()) == 1
    assert json.loads(as_json.stderr)["details"][0]["reason"] == reason


async def test_state_that_does_not_allow_it_exits_with_4(run: Run, name: str) -> None:
    create = ("create", name, "--at", "2099-01-01T00:00Z", "--request-id", name, "--json")
    task_id = str((await run(*create)).json["task_id"])
    assert (await run(*create)).json == {"task_id": int(task_id)}
    for arguments in (
        ("update", task_id, "--in", "1d", "--version", "9"),
        ("retry", task_id),
        (*create, "--max-retries", "0"),
    ):
        assert (await run(*arguments)).exit_code == 4
