"""The command line against a whole stack, as a process."""

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
        """The only document on stdout."""
        return json.loads(self.stdout)

    @property
    def json_lines(self) -> list[Any]:
        """The documents on stdout, one per line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


async def spawn(stack: Any, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        DUETIME,
        *arguments,
        env={**os.environ, "DUETIME_ADDRESS": stack.address, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(stack: Any) -> Run:
    async def run(*arguments: str, given: bytes = b"", **environment: str) -> Result:
        process = await spawn(stack, *arguments, **environment)
        stdout, stderr = await process.communicate(given)
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


async def test_a_task_s_whole_life_on_the_command_line(run: Run, name: str) -> None:
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


async def test_json_matches_the_rest_api(run: Run, stack: Any, name: str) -> None:
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


async def test_watch_of_many_prints_matching_changes_until_ctrl_c(run: Run, stack: Any, name: str) -> None:
    watching = await spawn(stack, "watch", "--name", name, "--json")
    assert watching.stdout is not None
    reading = asyncio.create_task(watching.stdout.readline())
    created = []
    while not reading.done():  # it is unknown when the watch has started: at the first task that it sees
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
    assert plain.stderr.startswith("Error: ")
    assert len(plain.stderr.splitlines()) == 1
    assert json.loads(as_json.stderr)["details"][0]["reason"] == reason


async def test_change_that_the_status_does_not_allow_exits_with_4(run: Run, name: str) -> None:
    create = ("create", name, "--at", "2099-01-01T00:00Z", "--request-id", name, "--json")
    task_id = str((await run(*create)).json["task_id"])
    assert (await run(*create)).json == {"task_id": int(task_id)}
    for arguments in (
        ("update", task_id, "--in", "1d", "--version", "9"),
        ("retry", task_id),
        (*create, "--max-retries", "0"),
    ):
        assert (await run(*arguments)).exit_code == 4


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999Z", "9999-12-31t24:00:00+14:00"])
async def test_task_at_the_end_of_the_calendar_is_printed_in_every_zone(
    run: Run, name: str, zone: str, time: str
) -> None:
    task_id = str((await run("create", name, "--at", time, "--json")).json["task_id"])
    shown = await asyncio.gather(
        *(run(*command, TZ=zone) for command in (("get", task_id), ("list", "--name", name), ("logs", task_id)))
    )
    assert [(result.exit_code, result.stderr) for result in shown] == [(0, "")] * 3
    assert "9999-12-3" in shown[1].stdout
    as_json = (await run("list", "--name", name, "--json", TZ=zone)).json
    assert as_json["execution_time"].startswith("9999-12-31T")


async def test_data_is_read_from_standard_input_with_exact_numbers(run: Run, name: str) -> None:
    data = {"mole": 6.02214076e23, "huge": 1e22, "beyond": 2.0**53, "least": 5e-324, "half": 0.5, "two": 2}
    given = b"\xef\xbb\xbf" + json.dumps(data).encode()
    created = await run("create", name, "--in", "P1D", "--data", "-", "--json", given=given)
    assert (await run("get", str(created.json["task_id"]), "--json")).json["task_data"] == data


async def test_addresses_are_accepted_as_up_prints_them(run: Run, stack: Any) -> None:
    for address in (f"http://{stack.address}", f"http://{stack.address}/", f"grpc://{stack.address}"):
        assert (await run("workers", "--server", address)).exit_code == 0
    dead = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "grpc_proxy": "http://127.0.0.1:9"}
    assert (await run("workers", **dead)).exit_code == 0
