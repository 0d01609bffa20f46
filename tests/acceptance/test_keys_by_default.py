"""`duetime up` demands API keys unless it starts with --open. Its own admin key is all that a user needs."""

import asyncio
import os
import pathlib
import signal
import subprocess
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

import duetime_client
from tests.acceptance import commands, requests
from tests.support import processes, stacks

pytestmark = pytest.mark.timeout(240)
INDENT = " " * 14
WARNING = "WARNING: there is no authentication (--open or DUETIME_AUTH=open): every user and program of this machine"


@pytest_asyncio.fixture(scope="module")
async def keyed(short_directory: pathlib.Path) -> AsyncIterator[stacks.Stack]:
    """A stack with the default, in the data directory of that name."""
    stack = await stacks.start(short_directory / "keyed" / ".duetime", demands_keys=True)
    await stack.process.wait_for_log("Ctrl-C stops it")
    yield stack
    assert await stack.stop() == 0


def in_its_directory(stack: stacks.Stack, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command where the stack was started, without settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    directory = stack.data_dir.parent
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


async def test_the_start_prints_where_the_key_is_and_how_to_use_it_but_never_the_key(keyed: stacks.Stack) -> None:
    file = keyed.data_dir / "admin.key"
    lines = keyed.process.log
    where = lines.index(f"  admin key   {file}")
    command, _, rest = lines[where + 1].strip().partition("; ")
    assert rest == "the command line and the Python client find it by themselves"
    assert lines[where + 2].startswith("  mail ")
    secret = file.read_text().partition("Bearer ")[2].strip()
    assert (len(secret) > 40, file.stat().st_mode & 0o777) == (True, 0o600)
    assert secret not in "\n".join(lines)
    printed = in_its_directory(keyed, "sh", "-c", command.replace("curl", "curl -sf"))
    assert (printed.returncode, printed.stdout) == (0, '{"tasks":[],"next_page_token":""}')


async def test_curl_reads_the_key_from_the_file_and_the_command_line_finds_it(keyed: stacks.Stack) -> None:
    get = ("curl", "-s", "-w", " %{http_code}", f"{keyed.url}/api/tasks")
    assert in_its_directory(keyed, *get, "-H", "@.duetime/admin.key").stdout.endswith("} 200")
    listed = in_its_directory(keyed, str(commands.DUETIME), "list", "--json", "--server", keyed.url)
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "")


async def test_a_call_without_the_key_gets_401_that_names_the_header_and_the_file(keyed: stacks.Stack) -> None:
    async with httpx.AsyncClient(base_url=keyed.url, timeout=30) as rest:
        refused = await rest.get("/api/tasks")
        created = await rest.post("/api/tasks", json=requests.as_json())
    assert (refused.status_code, created.status_code, refused.json()) == (401, 401, created.json())
    assert refused.json()["message"] == (
        "The call has no API key: send it in the header 'authorization: Bearer dt_…', with curl: -H "
        "@.duetime/admin.key. docs/security.md describes API keys."
    )
    assert str(keyed.data_dir.parent) not in refused.text
    async with duetime_client.AsyncClient(keyed.address, api_key="") as client:
        with pytest.raises(duetime_client.Unauthenticated, match=r"-H @\.duetime/admin\.key"):
            await client.delete(1)


async def test_a_command_elsewhere_says_which_variables_lead_to_a_key(
    keyed: stacks.Stack, tmp_path: pathlib.Path
) -> None:
    listed = await commands.run(keyed, "list", {"DUETIME_DATA_DIR": str(tmp_path)})
    assert listed.returncode == 7
    assert "DUETIME_API_KEY_FILE" in listed.stderr
    assert "DUETIME_DATA_DIR" in listed.stderr
    found = await commands.run(keyed, "list --json", {"DUETIME_DATA_DIR": str(keyed.data_dir)})
    assert (found.returncode, found.stderr) == (0, "")


async def test_the_server_that_a_stack_starts_demands_keys_where_it_listens(keyed: stacks.Stack) -> None:
    address = f"unix:{keyed.data_dir}/run/server-0.sock"
    async with duetime_client.AsyncClient(address, api_key="") as client:
        with pytest.raises(duetime_client.Unauthenticated):
            await client.delete(1)


async def test_data_that_was_served_without_keys_is_kept_and_needs_them_from_now_on(
    short_directory: pathlib.Path,
) -> None:
    data_dir = short_directory / "upgraded" / ".duetime"
    stack = await stacks.start(data_dir, "--open", demands_keys=True)
    assert [line[: len(WARNING)] for line in stack.process.log if "WARNING" in line] == [WARNING]
    assert not (data_dir / "admin.key").exists()
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as rest:
        body = requests.as_json(execution_time=requests.at(86400).isoformat())
        created = await rest.post("/api/tasks", json=body)
        assert created.status_code == 200, created.text
    log = (data_dir / "logs" / "server-0.log").read_text()
    assert 'event="no authentication: anyone who reaches this server may do everything" auth=open' in log
    assert await stack.stop() == 0

    stack = await stacks.start(data_dir, demands_keys=True)
    said = await stack.process.wait_for_log("calls to this data need an API key now")
    assert said == f"{INDENT}It is new: calls to this data need an API key now. --open starts without, as before"
    assert "WARNING" not in "".join(stack.process.log)
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as rest:
        assert (await rest.get("/api/tasks/1")).status_code == 401
    got = in_its_directory(stack, str(commands.DUETIME), "get", "1", "--json", "--server", stack.url)
    assert (got.returncode, got.stderr) == (0, "")
    assert await stack.stop() == 0

    stack = await stacks.start(data_dir, demands_keys=True)
    await stack.process.wait_for_log("Ctrl-C stops it")
    assert "It is new" not in "".join(stack.process.log)
    assert await stack.stop() == 0


@pytest.mark.parametrize(
    ("flags", "variable", "message"),
    [
        (("--open",), "keys", "--open and DUETIME_AUTH=keys contradict each other"),
        ((), "none", "DUETIME_AUTH must be keys or open, not 'none'"),
        (
            ("--open", "--host", "0.0.0.0"),
            "",
            "leave out --open or DUETIME_AUTH=open, and set --tls-cert and --tls-key",
        ),
        (("--host", "0.0.0.0"), "open", "leave out --open or DUETIME_AUTH=open, and set --tls-cert and --tls-key"),
        (("--host", "0.0.0.0"), "", "can read API keys and payloads: set --tls-cert and --tls-key, or use 127.0.0.1"),
    ],
    ids=["a contradiction", "no such value", "open to others", "open to others by its variable", "in plain text"],
)
async def test_what_would_be_open_by_mistake_is_refused_by_name(
    open_directory: pathlib.Path, flags: tuple[str, ...], variable: str, message: str
) -> None:
    place = ("--data-dir", str(open_directory / "data"), "--port", str(processes.free_port()))
    variables = {"DUETIME_AUTH": variable} if variable else {}
    process = await stacks.launch(*place, *flags, directory=open_directory, variables=variables, demands_keys=True)
    assert await process.ended() == 1
    (line,) = process.log
    assert line.startswith("duetime up: ")
    assert message in line
    assert not (open_directory / "data").exists()


async def test_a_start_that_is_interrupted_before_it_is_ready_leaves_a_key_that_the_next_one_uses(
    open_directory: pathlib.Path,
) -> None:
    data_dir = open_directory / "data"
    place = ("--data-dir", str(data_dir), "--port", str(processes.free_port()))
    process = await stacks.launch(*place, directory=open_directory, demands_keys=True)
    async with asyncio.timeout(stacks.READY_SECONDS):
        while not (data_dir / "admin.key").exists():  # noqa: ASYNC110 - it is not logged
            await asyncio.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    await process.ended()
    written = (data_dir / "admin.key").read_text()
    stack = await stacks.start(data_dir, demands_keys=True)
    assert (data_dir / "admin.key").read_text() == written
    found = await commands.run(stack, "list --json", {"DUETIME_DATA_DIR": str(data_dir)})
    assert (found.returncode, found.stderr) == (0, "")
    assert await stack.stop() == 0
