"""The users of `duetime up`: root, which drops its privileges; one without a passwd entry; data of earlier versions."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys

import httpx
import psycopg
import pytest

from duetime_core import migrate
from duetime_core.postgres import database
from duetime_stack import permissions, pgdata, privileges, program, roles
from tests.acceptance import stack_processes
from tests.support import factories, processes, stacks, users

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def as_root() -> None:
    """Only root can become another user."""
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")


async def refusal(data_dir: pathlib.Path, *flags: str, cwd: pathlib.Path | None = None) -> str:
    port = str(processes.free_port())
    flags = ("--port", port, "--data-dir", str(data_dir), *flags)
    process = await stacks.launch(*flags, directory=data_dir, cwd=cwd, demands_keys=True)
    assert await process.ended() == 1, process.log
    (line,) = process.log
    assert line.startswith("duetime up: ")
    return line


@pytest.mark.usefixtures("as_root")
async def test_an_inaccessible_parent_directory_is_named_and_unchanged(open_directory: pathlib.Path) -> None:
    closed = open_directory / "closed"
    closed.mkdir(mode=0o700)
    line = await refusal(closed / "deep" / "data")
    assert f"cannot enter {closed}, which is needed for {closed}/deep/data" in line
    assert f"chmod o+rx {closed}" in line
    assert closed.stat().st_mode & 0o777 == 0o700
    line = await refusal(open_directory / "data", "--handlers", "mine", cwd=closed)
    assert f"cannot enter {closed}" in line
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("as_root")
async def test_a_directory_with_other_files_keeps_its_owner(open_directory: pathlib.Path) -> None:
    (open_directory / "file").write_text("")
    assert "has files that are not Duetime's" in await refusal(open_directory)
    assert (open_directory / "file").stat().st_uid == 0
    others = open_directory / "others"
    others.mkdir()
    shutil.chown(others, "nobody")
    line = await refusal(others)
    assert f"{others} belongs to the user nobody" in line
    assert others.owner() == "nobody"


async def make_old_data(data_dir: pathlib.Path, sockets: pathlib.Path) -> int:
    """Creates a data directory as `duetime up` did before there were roles, and returns the id of a task in it."""
    data = data_dir / "postgres"
    for directory in (data_dir, sockets):
        users.make_directory(directory)
    server = str(pgdata.program_path("postgres"))

    def run(*command: str, text: str = "") -> None:
        subprocess.run([*users.become(), *command], input=text, text=True, check=True, capture_output=True, cwd="/")

    run(str(pgdata.program_path("initdb")), "-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8")
    run(server, "--single", "-D", str(data), "postgres", text="CREATE DATABASE duetime\n")
    options = ("-c", "listen_addresses=", "-c", f"unix_socket_directories={sockets}")
    tied = program.bound_to_parent((server, "-D", str(data), *options), "KILL")
    running = await processes.launch(*users.become(), *tied, environment=dict(os.environ), cwd="/")
    await running.wait_for_log("ready to accept connections")
    engine = database.connect(f"postgresql://postgres@/duetime?host={sockets}", pool_size=1)
    await migrate.upgrade(engine)
    task_id = await factories.create(engine)
    await engine.dispose()
    running.process.send_signal(signal.SIGINT)
    await running.ended()
    _open(data_dir)
    return task_id


def _open(data_dir: pathlib.Path) -> None:
    for name in ("logs", "run"):
        (data_dir / name).mkdir(mode=0o755)
    for path in (data_dir / "logs" / "worker-0.log", data_dir / "run" / "up.lock"):
        path.write_text("")
        path.chmod(0o644)
    data_dir.chmod(0o755)
    if os.geteuid() == 0:
        for path in (data_dir, *data_dir.rglob("*")):
            shutil.chown(path, "nobody" if data_dir / "postgres" in (path, *path.parents) else "root")


async def test_data_of_an_earlier_version_is_migrated_and_made_private_even_in_a_long_path(
    open_directory: pathlib.Path,
) -> None:
    data_dir = open_directory / ("long" * 20)
    task_id = await make_old_data(data_dir, open_directory / "s")
    parent = open_directory.parent.stat()
    stack = await stacks.start(data_dir)
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as rest:
        assert (await rest.get(f"/api/tasks/{task_id}")).json()["task_id"] == task_id
        assert (
            await rest.post("/api/tasks", json={"name": "noop", "execution_time": "2027-01-01T00:00:00Z"})
        ).is_success
    async with await psycopg.AsyncConnection.connect(stack.database_url) as connection:
        owned = await connection.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        assert await owned.fetchall() == [(roles.OWNER,)]
    assert "trust" not in (data_dir / "postgres" / "pg_hba.conf").read_text()
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(stack.database_url.replace(f"//{roles.APPLICATION}@", f"//{roles.SUPERUSER}@"))
    for path in (data_dir, *data_dir.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # PostgreSQL removes temporary files meanwhile
            assert path.lstat().st_mode & 0o077 == 0, path
            assert path.owner() == (privileges.NAME if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)
    assert await stack.stop() == 0
    now = open_directory.parent.stat()
    assert (now.st_mode, now.st_uid) == (parent.st_mode, parent.st_uid)


async def test_a_user_without_a_passwd_entry_can_start_a_stack(open_directory: pathlib.Path) -> None:
    number = 54_321
    if os.geteuid() == 0:
        as_user = ["setpriv", "--reuid", str(number), "--regid", str(number), "--clear-groups", "--inh-caps=-all", "--"]
        wrapper = [*permissions.mount_namespace(as_user), *as_user]
    else:
        wrapper = ["unshare", "--user", "--map-user", str(number), "--map-group", str(number), "--"]
    port = processes.free_port()
    flags = ("--port", str(port), "--data-dir", str(open_directory / "data"))
    # Through this Python, because the script's first line contains the interpreter's path.
    wrapper = [*wrapper, sys.executable]
    process = await stacks.launch(*flags, directory=open_directory, wrapper=wrapper)
    await process.wait_for_log("duetime is ready", seconds=stacks.READY_SECONDS)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as rest:
        assert (await rest.get("/api/tasks")).is_success
    process.terminate()
    assert await process.ended() == 0


def test_no_process_of_a_stack_runs_as_root_or_has_capabilities(stack: stacks.Stack) -> None:
    statuses = stack_processes.read(stack, lambda process: pathlib.Path(f"/proc/{process.pid}/status").read_text())
    for process, status in statuses:
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert "0" not in fields["Uid"].split(), process
        assert fields["Groups"].split() in ([], *([str(each)] for each in os.getgroups())), process
        assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == int(fields["CapInh"], 16) == 0, process
