"""A stack exposes only Envoy's port to other users of its machine."""

import contextlib
import os
import pathlib
import subprocess

import psutil
import psycopg
import pytest

from duetime_stack import environments, privileges, roles
from tests.acceptance import stack_processes
from tests.support import stacks


def names(process: psutil.Process) -> set[str]:
    return set(process.environ())


def test_only_envoy_listens_on_a_port_and_only_on_loopback(stack: stacks.Stack) -> None:
    listening = set()
    for _, (name, connections) in stack_processes.read(stack, lambda it: (it.name(), it.net_connections(kind="inet"))):
        listening |= {(name, *each.laddr) for each in connections if each.status == psutil.CONN_LISTEN}
    host, _, port = stack.address.partition(":")
    assert listening == {("envoy", host, int(port))}


def test_other_users_can_neither_enter_nor_read_the_data_directory(stack: stacks.Stack) -> None:
    for path in (stack.data_dir, *stack.data_dir.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # PostgreSQL removes temporary tables meanwhile
            assert path.lstat().st_mode & 0o077 == 0, path


def test_all_processes_run_as_one_user_that_is_not_root(stack: stacks.Stack) -> None:
    users = {user for _, user in stack_processes.read(stack, psutil.Process.username)}
    assert users == {privileges.NAME if os.geteuid() == 0 else psutil.Process().username()}


@pytest.mark.parametrize("role", [roles.APPLICATION, roles.OWNER])
async def test_no_role_can_access_the_machine_through_the_database(stack: stacks.Stack, role: str) -> None:
    url = stack.database_url.replace(f"//{roles.APPLICATION}@", f"//{role}@")
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("CREATE TEMP TABLE copied (line text)")
        for statement in (
            "COPY copied FROM PROGRAM 'env'",
            "COPY copied FROM '/etc/passwd'",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT rolpassword FROM pg_authid",
            "ALTER SYSTEM SET listen_addresses = '*'",
            f"ALTER ROLE {role} SUPERUSER",
            f"SET ROLE {roles.SUPERUSER}",
            "CREATE ROLE another SUPERUSER",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement.encode())


async def test_the_role_of_servers_and_workers_cannot_change_tables(stack: stacks.Stack) -> None:
    async with await psycopg.AsyncConnection.connect(stack.database_url, autocommit=True) as connection:
        for statement in ("DROP TABLE tasks", "CREATE TABLE more (id int)", "DELETE FROM alembic_version"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("user", "refusal"),
    [(roles.SUPERUSER, r"no pg_hba\.conf entry"), (roles.OWNER, "no password supplied")],
)
def test_the_superuser_cannot_connect_and_other_roles_need_their_password(
    stack: stacks.Stack, user: str, refusal: str
) -> None:
    place = f"host={stack.data_dir}/run dbname=postgres user={user} passfile=/nowhere"
    with pytest.raises(psycopg.OperationalError, match=refusal):
        psycopg.connect(place)


def test_each_program_gets_only_its_own_variables(stack: stacks.Stack) -> None:
    allowed = {
        "postgres": environments.is_basic,
        "valkey-server": environments.is_basic,
        "envoy": environments.is_basic,
        "duetime_stack.mailbox_server": environments.is_for_python,
        "duetime_server": environments.is_for_servers,
    }
    running = stack_processes.by_program(stack)
    for name, gets in allowed.items():
        # Variables that PostgreSQL and supervisord set themselves are not secret.
        others = {each for each in names(running[name]) if not each.startswith(("SUPERVISOR_", "PG_"))}
        assert {each for each in others if not gets(each)} <= {"PWD", "OLDPWD", "SHLVL", "_"} & set(os.environ), name
    assert {"TEST_DIRECTORY", "DUETIME_SMTP_HOST"} <= names(running["duetime_worker"])


def test_the_embedded_passwords_are_in_no_command_line_log_or_configuration(stack: stacks.Stack) -> None:
    passwords = roles.passwords(stack.data_dir / "postgres").values()
    assert len(passwords) == 2
    shown = [
        "\n".join(stack.process.log),
        *(" ".join(line) for _, line in stack_processes.read(stack, psutil.Process.cmdline)),
    ]
    shown += [
        path.read_text() for name in ("logs", "run") for path in (stack.data_dir / name).iterdir() if path.is_file()
    ]
    shown += [
        repr(stack_processes.by_program(stack)[name].environ()) for name in ("envoy", "valkey-server", "postgres")
    ]
    for text in shown:
        assert not [password for password in passwords if password in text]


def test_psql_connects_with_the_printed_url(stack: stacks.Stack) -> None:
    psql = pathlib.Path(stack_processes.by_program(stack)["postgres"].exe()).with_name("psql")
    command = (str(psql), stack.database_url, "--tuples-only", "--command", "SELECT count(*) >= 0 FROM tasks")
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PGPORT": "1", "PGUSER": "x"})
    assert done.stdout.strip() == "t"
