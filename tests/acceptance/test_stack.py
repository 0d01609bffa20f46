"""`duetime up` starts, reports exits and restarts, stops gracefully and keeps the data."""

import contextlib
import os
import pathlib
import signal
import socket
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest
import pytest_asyncio
import sqlalchemy as sa

from tests.acceptance import requests, stack_processes
from tests.chaos import proxy
from tests.support import processes, stacks


@pytest.fixture
def data_dir(short_directory: pathlib.Path, request: pytest.FixtureRequest) -> pathlib.Path:
    """A directory for this test's own stack."""
    return short_directory / f"own-{abs(hash(request.node.name)) % 10**6}" / "data"


def all_ended(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not alive


async def create(stack: stacks.Stack, seconds: float = 86400) -> int:
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as rest:
        body = requests.as_json(execution_time=requests.at(seconds).isoformat())
        response = await rest.post("/api/tasks", json=body)
        assert response.status_code == 200, response.text
        task_id: int = response.json()["task_id"]
        return task_id


async def status(stack: stacks.Stack, task_id: int) -> str:
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as rest:
        async with rest.stream("GET", f"/api/tasks/{task_id}:watch") as response:
            await response.aread()
        answer: str = (await rest.get(f"/api/tasks/{task_id}/status")).json()["status"]
        return answer


@pytest.mark.timeout(240)
async def test_the_data_survives_ctrl_c_and_a_kill_of_everything(data_dir: pathlib.Path) -> None:
    stack = await stacks.start(data_dir)
    first = await create(stack)
    running = stack_processes.all_of(stack)
    expected = {
        "postgres",
        "valkey-server",
        "duetime_stack.mailbox_server",
        "duetime_server",
        "duetime_worker",
        "envoy",
    }
    assert stack_processes.by_program(stack).keys() == expected
    assert await stack.stop() == 0
    assert all_ended(running)

    stack = await stacks.start(data_dir)
    second = await create(stack)
    running = stack_processes.all_of(stack)
    for process in running:
        with contextlib.suppress(psutil.NoSuchProcess):  # it exits with its parent, killed before
            process.kill()
    assert all_ended(running)

    stack = await stacks.start(data_dir)
    third = await create(stack, seconds=0)
    assert (first, second) == (1, 2)
    assert third > second
    assert await status(stack, third) == "completed"
    running = stack_processes.all_of(stack)
    await stacks.kill_group(stack.process)
    assert all_ended(running)


@pytest.mark.timeout(240)
async def test_a_process_that_exits_is_reported_and_restarted(data_dir: pathlib.Path) -> None:
    stack = await stacks.start(data_dir, "--servers", "2")
    for program, part in (("duetime_worker", "worker-0"), ("postgres", "postgres"), ("valkey-server", "valkey")):
        os.kill(stack_processes.by_program(stack)[program].pid, signal.SIGKILL)
        await stack.process.wait_for_log(f"{part} exited (terminated by SIGKILL); restarting")
        await stack.process.wait_for_log(f"{part} is running again", seconds=60)
    assert await status(stack, await create(stack, seconds=0)) == "completed"
    assert await stack.stop() == 0


@pytest.mark.timeout(240)
async def test_a_background_job_survives_ignored_ctrl_c_and_hang_ups(open_directory: pathlib.Path) -> None:
    port = processes.free_port()
    ignoring = ("sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh")
    flags = ("--port", str(port), "--data-dir", str(open_directory / "data"))
    process = await stacks.launch(*flags, directory=open_directory, wrapper=ignoring)
    await process.wait_for_log("duetime is ready", seconds=stacks.READY_SECONDS)
    for number in (signal.SIGINT, signal.SIGHUP):
        process.process.send_signal(number)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as rest:
        assert (await rest.get("/api/tasks")).status_code == 200
    process.terminate()
    assert await process.ended() == 0
    assert process.log[-1] == "stopped"
    assert not [line for line in process.log if "stopping" in line], "a signal was not ignored"


@pytest.mark.timeout(240)
async def test_two_stacks_run_side_by_side(data_dir: pathlib.Path, stack: stacks.Stack) -> None:
    other = await stacks.start(data_dir)
    assert other.url != stack.url
    assert other.database_url != stack.database_url
    for each in (stack, other):
        assert await status(each, await create(each, seconds=0)) == "completed"
    assert await other.stop() == 0


@pytest_asyncio.fixture
async def used_port() -> AsyncIterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def _refused(*flags: str, directory: pathlib.Path) -> str:
    process = await stacks.launch(*flags, directory=directory, demands_keys=True)
    assert await process.ended() == 1
    return "\n".join(process.log)


async def test_a_port_in_use_is_named(data_dir: pathlib.Path, used_port: int) -> None:
    output = await _refused("--data-dir", str(data_dir), "--port", str(used_port), directory=data_dir.parent)
    assert output.startswith("duetime up: ")
    assert str(used_port) in output
    assert "--port" in output
    assert "\n" not in output


async def test_a_data_directory_in_use_is_named(stack: stacks.Stack) -> None:
    port = str(processes.free_port())
    output = await _refused("--data-dir", str(stack.data_dir), "--port", port, directory=stack.data_dir.parent)
    assert str(stack.data_dir) in output
    assert "\n" not in output


async def test_a_missing_handler_module_is_named(data_dir: pathlib.Path) -> None:
    flags = ("--handlers", "no_such_module", "--port", str(processes.free_port()), "--data-dir", str(data_dir))
    output = await _refused(*flags, directory=data_dir.parent)
    assert "No module named 'no_such_module'" in output


async def test_an_unreachable_database_is_named(data_dir: pathlib.Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    flags = ("--database-url", url, "--port", str(processes.free_port()), "--data-dir", str(data_dir))
    assert "127.0.0.1:1" in await _refused(*flags, directory=data_dir.parent)


@pytest.mark.timeout(240)
async def test_an_external_postgres_and_redis_are_used(
    data_dir: pathlib.Path, database_url: str, redis_url: str
) -> None:
    url = sa.make_url(database_url)
    between = proxy.Proxy(
        pathlib.Path(str(url.query["host"]), ".s.PGSQL.5432")
    )  # the tests' PostgreSQL admits no other user
    await between.start()
    reached = url.set(host="127.0.0.1", port=between.port, query={"sslmode": "disable"}).render_as_string(False)
    stack = await stacks.start(data_dir, "--database-url", reached, "--redis-url", redis_url)
    assert not {"postgres", "valkey-server"} & stack_processes.by_program(stack).keys()
    assert await status(stack, await create(stack, seconds=0)) == "completed"
    assert await stack.stop() == 0
    await between.cut()


async def test_listening_beyond_this_machine_prints_a_warning(data_dir: pathlib.Path) -> None:
    flags = (
        "--host",
        "0.0.0.0",
        "--insecure-open",
        "--port",
        str(processes.free_port()),
        "--data-dir",
        str(data_dir),
    )
    process = await stacks.launch(*flags, directory=data_dir.parent)
    warning = await process.wait_for_log("WARNING")
    assert "anyone who reaches the port has full access" in warning
    process.terminate()
    await process.ended()
