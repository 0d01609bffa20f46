"""The command line as a process, against servers with TLS."""

import asyncio
import pathlib
import sys

import grpc
import pytest
import trustme

from tests.support import answers
from tests.support.certificates import ca_file, grpc_server

DUETIME = pathlib.Path(sys.executable).with_name("duetime")
AUTHORITY = trustme.CA()


async def run(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """Returns the exit code, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        DUETIME, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_a_key_reaches_a_server_whose_authority_is_named_by_flag_or_variable(tmp_path: pathlib.Path) -> None:
    ca = str(ca_file(AUTHORITY, tmp_path))
    async with answers.served(answers.READ_TASK, tls=grpc_server(AUTHORITY)) as server:
        at = ("--json", "--server", f"https://{server.address}")
        by_flag = await run("cancel", "1", *at, "--ca-file", ca, DUETIME_API_KEY="dt_key", DUETIME_CA_FILE="/nowhere")
        by_variable = await run("cancel", "1", *at, DUETIME_API_KEY="dt_key", DUETIME_CA_FILE=ca)
        assert [code for code, _, _ in (by_flag, by_variable)] == [0, 0], (by_flag, by_variable)
        assert server.authorizations == ["Bearer dt_key"] * 2


@pytest.mark.parametrize(
    ("tls", "scheme", "why"),
    [
        (
            grpc_server(trustme.CA()),
            "https",
            "its certificate is not trusted: unable to get local issuer certificate; if",
        ),
        (grpc_server(AUTHORITY, "duetime.example"), "https", "its certificate is for another host name\n"),
        (None, "https", "it does not use TLS; write http://, or host:port without tls\n"),
        (grpc_server(AUTHORITY), "http", "Socket closed; if it expects TLS, write https://\n"),
    ],
    ids=["authority", "name", "plain server", "plain client"],
)
async def test_a_failure_of_tls_is_one_line_and_exit_code_5(
    tmp_path: pathlib.Path, tls: grpc.ServerCredentials | None, scheme: str, why: str
) -> None:
    ca = ca_file(AUTHORITY, tmp_path)
    async with answers.served(answers.READ_TASK, tls=tls) as server:
        url = f"{scheme}://{server.address}"
        code, stdout, stderr = await run("delete", "1", "--server", url, DUETIME_CA_FILE=str(ca))
        assert (code, stdout) == (5, "")
        assert stderr.startswith(f"Error: {server.address} cannot be reached: {why}")
        assert len(stderr.splitlines()) == 1
        assert server.asked == []


async def test_an_invalid_file_is_an_invalid_command_line() -> None:
    code, _, stderr = await run("get", "1", "--server", "https://127.0.0.1", "--ca-file", "/nowhere/ca.pem")
    assert code == 2
    assert "the CA file '/nowhere/ca.pem' cannot be read: No such file or directory" in stderr
