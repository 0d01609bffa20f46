"""Names in Redis: deployments that share one, under two prefixes, do not wake each other."""

import asyncio
import contextlib
import datetime
import fnmatch
from collections.abc import AsyncIterator, Callable

import pytest_asyncio
import redis.asyncio
import redis.exceptions
import structlog.testing

import duetime_client
from duetime_core.model import namespace
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell, hints
from tests.support import clients, processes

NOW = datetime.datetime.now(datetime.UTC)
SECONDS = 20

Connect = Callable[..., redis_client.Client]


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects clients, which are closed at the end."""
    async with contextlib.AsyncExitStack() as connected:

        def connect(url: str, **options: str) -> redis_client.Client:
            client = redis_client.connect(url, **options)
            connected.push_async_callback(client.aclose, close_connection_pool=True)
            return client

        yield connect


@contextlib.asynccontextmanager
async def ringing(client: redis_client.Client) -> AsyncIterator[doorbell.Doorbell]:
    bell = doorbell.Doorbell(client)
    running = asyncio.create_task(bell.run())
    yield bell
    await bell.drain()
    await background.end([running])


async def test_deployments_that_share_a_redis_send_each_other_neither_wakeups_nor_hints(
    connect: Connect, redis_url: str
) -> None:
    ours, theirs = connect(redis_url, prefix="ours"), connect(redis_url, prefix="theirs")
    async with ours.pubsub(ignore_subscribe_messages=True) as heard, ringing(theirs) as their_bell:
        await heard.subscribe(ours.names.changes, ours.names.cancellations)
        their_bell.arm(namespace.DEFAULT, "mail", NOW, now=NOW)
        their_bell.changed([7])
        their_bell.cancelled([7])
        await their_bell.drain()
        async with ringing(ours) as our_bell:
            our_bell.changed([8])
            async with asyncio.timeout(SECONDS):
                while (message := await heard.get_message(timeout=1)) is None:
                    pass
        assert message["data"] == b"[8]"  # and not theirs, which were sent before
    assert await ours.zcard(ours.names.wakeups(namespace.DEFAULT, "mail")) == 0
    assert await theirs.zcard(theirs.names.wakeups(namespace.DEFAULT, "mail")) == 1
    assert ours.names.job_id(namespace.DEFAULT, "mail", 1) != theirs.names.job_id(namespace.DEFAULT, "mail", 1)


async def test_a_server_and_a_worker_use_only_names_with_their_prefix(start: processes.Starter, redis_url: str) -> None:
    server = await start.server(redis_prefix="staging")
    await start.worker(redis_prefix="staging")
    async with (
        redis.asyncio.Redis.from_url(redis_url) as watching,
        watching.monitor() as monitor,
        duetime_client.AsyncClient(server.address) as client,
    ):
        task_id = await client.create("noop", clients.NOW)
        await clients.finished(client, task_id)
        seen: set[tuple[str, str]] = set()
        observed = ("SET", "ZADD", "PUBLISH", "PSETEX", "GET", "INCR", "ZSCORE", "ZRANGEBYSCORE")
        database = watching.connection_pool.connection_kwargs["db"]  # other tests' processes may use the other ones
        async with asyncio.timeout(SECONDS):
            while not {"SET", "ZADD", "PUBLISH"} <= {command for command, _ in seen}:
                monitored = await monitor.next_command()
                command, *arguments = monitored["command"].split()
                if monitored["db"] == database and command in observed:
                    seen.add((command, arguments[0]))
    patterns = ("staging:*", "arq:*:staging:*")
    assert [name for _, name in seen if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []


async def test_a_user_with_the_documented_permissions_can_do_all_that_duetime_does_and_nothing_else(
    connect: Connect, start: processes.Starter, redis_url: str
) -> None:
    admin = connect(redis_url)
    rules = redis_client.PERMISSIONS.replace("PREFIX", "duetime").split()
    user = await _create_user(admin, "allowed", *rules)
    server = await start.server(redis_url=user)
    worker = await start.worker(redis_url=user)
    async with duetime_client.AsyncClient(server.address) as client:
        await clients.finished(client, await client.create("noop", clients.NOW))
        await clients.finished(client, await client.create("noop", datetime.timedelta(seconds=1)))
        running = await client.create("sleep", clients.NOW, {"seconds": 60})
        await clients.reached(client, running, "started")
        await client.cancel(running)
    for each in (server, worker):
        each.terminate()
        assert await each.ended() == 0
    assert [line for each in (server, worker) for line in each.log if "redis refuses" in line] == []
    denied = await admin.execute_command("ACL", "LOG")  # type: ignore[no-untyped-call]
    commands = {entry[entry.index(b"object") + 1] for entry in denied if b"allowed" in entry}
    assert commands <= {b"client|setinfo"}  # which redis-py can do without
    for command in (
        *(("flushall",), ("flushdb",), ("keys", "*"), ("scan", "0"), ("config", "get", "*"), ("client", "list")),
        *(("get", "other:key"), ("set", "other:key", "1"), ("publish", "other", "1"), ("eval", "return 1", "0")),
    ):
        answer = await admin.execute_command("ACL", "DRYRUN", "allowed", *command)  # type: ignore[no-untyped-call]
        assert answer != b"OK", command


async def test_a_command_that_redis_does_not_permit_is_logged_as_that_and_not_as_an_outage(
    connect: Connect, redis_url: str
) -> None:
    user = await _create_user(connect(redis_url), "limited", "~duetime:*", "+@connection", "+multi", "+exec")
    client = connect(user)
    with structlog.testing.capture_logs() as logged:
        async with ringing(client) as bell:
            bell.changed([7])
        listening = asyncio.create_task(_listen(client))
        async with asyncio.timeout(SECONDS):
            while len(logged) < 2:  # noqa: ASYNC110 - captured logs have no event
                await asyncio.sleep(0.01)
        await background.end([listening])
    for entry in logged:
        assert entry["event"].startswith("redis refuses a command to the user of DUETIME_REDIS_URL, who needs ~PREFIX")


async def _listen(client: redis_client.Client) -> None:
    async for _ in hints.listen(client, client.names.changes):
        pass


async def _create_user(admin: redis_client.Client, name: str, *rules: str) -> str:
    """Creates a user of Redis and returns a URL with its password."""
    await admin.execute_command("ACL", "SETUSER", name, "reset", "on", ">S3cret", *rules)  # type: ignore[no-untyped-call]
    parameters = admin.connection_pool.connection_kwargs
    return f"redis://{name}:S3cret@{parameters['host']}:{parameters['port']}/{parameters['db']}"
