"""The command line with the keys of payloads, against a real server."""

import asyncio
import os
import pathlib
import sys

import pytest

import duetime_client
from duetime_payloads import PayloadCodec
from tests.support import clients, payload_keys, processes

DUETIME = pathlib.Path(sys.executable).with_name("duetime")
KEY = payload_keys.new_key()


async def duetime(*arguments: str, server: processes.Process, keys: str = "") -> tuple[int | None, str, str]:
    """Returns the exit code, standard output and standard error."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    process = await asyncio.create_subprocess_exec(
        *(str(DUETIME), *arguments, "--server", server.address),
        env={**others, **({"DUETIME_PAYLOAD_KEYS_FILE": keys} if keys else {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_what_it_creates_is_encrypted_and_what_it_shows_is_not(
    start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    server, keys = await start.server(), payload_keys.file(tmp_path, a=KEY)
    data = ("--data", '{"card": "4111 1111"}')
    code, _, problem = await duetime("create", "echo", "--in", "1d", *data, "--json", server=server, keys=keys)
    assert code == 0, problem
    rule = ("--every", "1d", "--json")
    code, _, problem = await duetime("schedule", "create", "daily", "echo", *data, *rule, server=server, keys=keys)
    assert code == 0, problem
    for command in (["get", "1"], ["list"], ["schedule", "list"]):
        code, shown, problem = await duetime(*command, "--json", server=server, keys=keys)
        assert "4111 1111" in shown, problem
        code, shown, _ = await duetime(*command, "--json", server=server)
        assert "$enc" in shown
        assert "4111" not in shown
    assert "4111 1111" in (await duetime("get", "1", server=server, keys=keys))[1]


async def test_an_update_names_what_it_lacks(start: processes.Starter, tmp_path: pathlib.Path) -> None:
    server, keys = await start.server(), payload_keys.file(tmp_path, a=KEY)
    await duetime("create", "echo", "--in", "1d", server=server, keys=keys)
    code, _, problem = await duetime("update", "1", "--data", "{}", server=server, keys=keys)
    assert (code, problem) == (
        2,
        "Error: name: must be given with task_data: task_data is encrypted for the handler of that name\n",
    )
    code, _, problem = await duetime("update", "1", "--data", "{}", "--name", "noop", server=server, keys=keys)
    assert code == 0, problem


async def test_a_payload_whose_key_is_missing_does_not_hide_the_others(
    start: processes.Starter, tmp_path: pathlib.Path
) -> None:
    server = await start.server()
    async with duetime_client.AsyncClient(server.address, codec=PayloadCodec({"a": KEY})) as client:
        await client.create("echo", clients.NOW, {"a": 1})
    others = payload_keys.file(tmp_path, b=payload_keys.new_key())
    code, shown, _ = await duetime("list", server=server, keys=others)
    assert (code, "echo" in shown) == (0, True)
    code, _, problem = await duetime("get", "1", server=server, keys=others)
    assert code == 1
    assert problem == (
        "Error: task 1: task_data cannot be decrypted: it is encrypted with the key a, which is not among the known: "
        "b\n"
    )
    code, shown, _ = await duetime("cancel", "1", server=server, keys=others)
    assert (code, shown) == (0, "Task 1 is cancelled\n")


@pytest.mark.parametrize("content", ["", "a c2VjcmV0"])
async def test_a_wrong_file_is_one_line_that_shows_no_key(
    start: processes.Starter, tmp_path: pathlib.Path, content: str
) -> None:
    path = tmp_path / "keys"
    path.touch(mode=0o600)
    path.write_text(content)
    server = await start.server()
    code, shown, problem = await duetime("get", "1", server=server, keys=str(path))
    assert (code, shown) == (2, "")
    assert "DUETIME_PAYLOAD_KEYS_FILE: " in problem
    assert "c2VjcmV0" not in problem
