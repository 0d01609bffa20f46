"""The process of the command line: failing streams, and encodings that lack characters."""

import ast
import asyncio
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from duetime.v1 import task_pb2, task_service_pb2
from duetime_client import cli
from tests.support import answers

DUETIME = pathlib.Path(sys.executable).with_name("duetime")
NOWHERE = ("--server", "127.0.0.1:1")
HOSTILE = "[red]x[/red] \x1b]0;pwned\x07\x1b[2J\x9b31m\x7f\x08\r\n\u202eabc\u2066\u2028\u2029\u200b"
LONG_NAME = "Ж" * 255
PAGE = task_service_pb2.ListTasksResponse(
    tasks=[task_pb2.Task(task_id=number, name=LONG_NAME, status=task_pb2.Task.pending) for number in range(1, 501)]
)


async def run(shell: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Runs `duetime` with these arguments in place of "$@" in `shell`; returns its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"set -o pipefail; {shell}", "bash", DUETIME, *arguments,
        env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode(errors="replace")


@pytest.mark.parametrize("arguments", [["--help"], ["schedule", "create", "--help"], ["queue"]], ids=" ".join)
@pytest.mark.parametrize(
    ("shell", "problem"), [('"$@" > /dev/full', "No space left on device"), ('"$@" >&-', "it is closed")]
)
async def test_failed_output_prints_one_line_and_has_an_exit_code(
    arguments: list[str], shell: str, problem: str
) -> None:
    code, _, stderr = await run(shell, *arguments)
    if arguments == ["queue"]:  # its help is printed for an incomplete command line
        assert code in (1, 2)
    else:
        assert (code, stderr) == (1, f"Error: standard output cannot be written: {problem}\n")
    assert "Traceback" not in stderr


async def test_created_task_id_is_printed_on_stderr_if_stdout_fails() -> None:
    async with answers.served(answers.CREATED) as server:
        code, _, stderr = await run('"$@" > /dev/full', "create", "N", "--in", "1s", "--server", server.address)
    assert (code, stderr.count("\n")) == (1, 1)
    assert "not written: Task 1 created" in stderr


@pytest.mark.parametrize("option", [[], ["--json"]], ids=["table", "json"])
async def test_closed_reader_ends_a_list_without_output(option: list[str]) -> None:
    async with answers.served(PAGE) as server:
        code, stdout, stderr = await run(
            '"$@" | (read -n 1; exit 0)', "list", "--limit", "500", *option, "--server", server.address
        )
    assert (code, stdout, stderr) == (141, "", "")


async def test_missing_reader_ends_the_help_without_output() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await asyncio.create_subprocess_exec(DUETIME, "--help", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (141, b"")


@pytest.mark.parametrize("shell", ['"$@" 2> /dev/full', '"$@" 2>&-'])
@pytest.mark.parametrize(("arguments", "status"), [(["get", "1", *NOWHERE], 5), (["nonsense"], 2)])
async def test_error_that_cannot_be_written_has_its_exit_code(shell: str, arguments: list[str], status: int) -> None:
    assert await run(shell, *arguments) == (status, "", "")


@pytest.mark.parametrize(
    ("shell", "problem"),
    [
        ('"$@" <&-', "standard input is empty"),
        ('"$@" 0> /dev/null', "standard input: Bad file descriptor"),
        ('printf \'{"a": 1\' | "$@"', "standard input is not JSON"),
    ],
)
async def test_standard_input_without_an_object_is_refused(shell: str, problem: str) -> None:
    code, _, stderr = await run(shell, "create", "N", "--in", "1s", "--data", "-", *NOWHERE)
    assert code == 2
    assert problem in stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1:strict"},
    ],
    ids=str,
)
async def test_encoding_without_a_character_never_fails(environment: dict[str, str]) -> None:
    async with answers.served(PAGE) as server:
        for arguments in (["list"], ["list", "--json", "--limit", "1"]):
            code, stdout, _ = await run('"$@"', *arguments, "--server", server.address, **environment)
            assert code == 0
            assert stdout.isascii()
        assert json.loads(stdout)["name"] == LONG_NAME
    code, _, stderr = await run('"$@"', "create", "Grüße", "--in", "bäh", **environment)
    assert code == 2
    assert "Traceback" not in stderr


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"COLUMNS": "20"}, {"TERM": "dumb"}], ids=str)
async def test_pipe_gets_whole_rows_without_styles(environment: dict[str, str]) -> None:
    async with answers.served(PAGE) as server:
        _, stdout, _ = await run('"$@" | cat', "list", "--server", server.address, **environment)
    lines = stdout.splitlines()
    assert len(lines) == 51
    assert all(LONG_NAME in line and line == line.rstrip() for line in lines[1:])
    assert "\x1b" not in stdout


async def test_ctrl_c_at_any_time_exits_with_130_without_output() -> None:
    """Also during its imports, but not before Python imports the first module of the project."""

    async def interrupted_after(seconds: float) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import duetime_cli, sys; imported = duetime_cli._imported; duetime_cli._imported = "
            "lambda: print(flush=True) or imported(); sys.argv[:] = ['duetime', 'watch', *"
            f"{NOWHERE}]; duetime_cli.main()", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, stderr = await process.communicate()
        assert (process.returncode, stderr) == (130, b"")

    for moment in range(1, 9):
        await interrupted_after(moment * 0.08)


def test_only_the_printing_module_prints() -> None:
    """It is the module that escapes control characters."""
    for path in pathlib.Path(cli.__file__).parent.glob("*.py"):
        if path.stem in ("printing", "streams", "process"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert name not in ("print", "typer.echo", "typer.secho", "typer.confirm", "typer.prompt"), path
            assert not name.startswith(("sys.stdout.", "sys.stderr.")), path


async def test_control_characters_of_the_command_line_are_escaped() -> None:
    for wrong in (["create", "N", "--in", HOSTILE], ["create", "N", "--at", HOSTILE], ["list", "--status", HOSTILE],
                  ["create", "N", "--in", "1s", "--data", HOSTILE], ["get", HOSTILE], [HOSTILE], ["get", "1", HOSTILE],
                  ["create", "N", "--in", "1s", "--data", f"@{HOSTILE}"], ["get", "1", "--server", HOSTILE],
                  ["get", f"--{HOSTILE}"], ["queue", "limit", "N", "--max-running", HOSTILE]):  # fmt: skip
        code, _, stderr = await run('"$@"', *wrong)
        assert code == 2
        assert stderr.replace("\n", "").isprintable(), wrong


async def test_invalid_utf_8_on_the_command_line_is_refused() -> None:
    process = await asyncio.create_subprocess_exec(
        DUETIME, "list", "--queue", b"\xff", "--server", "127.0.0.1:1", stderr=subprocess.PIPE
    )
    _, stderr = await process.communicate()
    assert (process.returncode, stderr) == (2, b"Error: queue: must be valid Unicode, without lone surrogates\n")
