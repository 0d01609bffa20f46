"""Payloads that only clients and workers can read, from creation to the result, of real servers and workers."""

import datetime
import json
import pathlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import NewTask, TaskTemplate, errors
from duetime_payloads import PayloadCodec
from tests.support import clients, dumps, payload_keys, processes, receiver

LATER = datetime.timedelta(days=1)
LEAKY = "tests.support.leaky_handlers"
Connect = Callable[..., Awaitable[duetime_client.AsyncClient]]


@pytest.fixture
def key() -> bytes:
    return payload_keys.new_key()


@pytest_asyncio.fixture
async def address(start: processes.Starter) -> str:
    return (await start.server()).address


@pytest_asyncio.fixture
async def client(address: str, key: bytes) -> AsyncIterator[duetime_client.AsyncClient]:
    """A client that encrypts."""
    async with duetime_client.AsyncClient(address, codec=PayloadCodec({"a": key})) as client:
        yield client


@pytest_asyncio.fixture
async def observer(address: str) -> AsyncIterator[duetime_client.AsyncClient]:
    """A client without keys, which sees what servers see."""
    async with duetime_client.AsyncClient(address) as client:
        yield client


async def finished(
    client: duetime_client.AsyncClient, name: str, *, max_retries: int = 0, **task_data: Any
) -> duetime_client.Task:
    created = await client.create(name, clients.NOW, task_data, max_retries=max_retries)
    return await clients.finished(client, created)


async def test_data_and_result_are_read_by_the_worker_and_the_client_alone(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    observer: duetime_client.AsyncClient,
    tmp_path: pathlib.Path,
    key: bytes,
) -> None:
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    data: dict[str, Any] = {"card": "4111", "n": [1, 2.5, None]}
    task = await finished(client, "echo", **data)
    assert (task.status, task.task_data, task.result) == ("completed", data, data)
    assert [found.result async for found in client.list()] == [data]
    seen = await observer.get(task.task_id)
    assert seen.result is not None
    assert seen.task_data.keys() == seen.result.keys() == {"$enc"}
    assert (await finished(observer, "echo", **data)).result == data, "what was not encrypted is not either"


async def test_the_synchronous_client_does_the_same(
    start: processes.Starter, address: str, client: duetime_client.AsyncClient, tmp_path: pathlib.Path, key: bytes
) -> None:
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    with duetime_client.Client(address, codec=PayloadCodec({"a": key})) as synchronous:
        (task_id,) = synchronous.create_many([NewTask("echo", clients.NOW, {"a": 1})])
        await clients.finished(client, task_id)
        task = synchronous.get(task_id)
    assert (task.task_data, task.result) == ({"a": 1}, {"a": 1})


async def test_built_in_handlers_need_nothing_else(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    received: receiver.Receiver,
    tmp_path: pathlib.Path,
    key: bytes,
) -> None:
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    task = await finished(client, "Call Webhook", url=received.url, json={"order": 7})
    assert (task.status, task.result) == ("completed", {"status_code": 200, "body": "thanks"})
    assert received.calls[0].content == b'{"order":7}'
    task = await finished(client, "Call Webhook", url="ftp://x")
    assert task.error_message == "task_data does not fit Webhook: url: must be a URL such as https://example.com/path"


async def test_schedules_encrypt_their_template_and_each_task_has_it(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    observer: duetime_client.AsyncClient,
    tmp_path: pathlib.Path,
    key: bytes,
) -> None:
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    created = await client.create_schedule("daily", TaskTemplate("echo", {"a": 1}), interval=LATER)
    assert created.task.task_data == {"a": 1}
    task = await clients.finished(client, await client.trigger_schedule(created.schedule_id))
    assert (task.task_data, task.result) == ({"a": 1}, {"a": 1})
    updated = await client.update_schedule(created.schedule_id, task=TaskTemplate("numbers", {"numbers": [2]}))
    assert updated.task.task_data == {"numbers": [2]}
    task = await clients.finished(client, await client.trigger_schedule(created.schedule_id))
    assert task.result == {"shown": ["2"], "given": [2]}
    seen = (await observer.get_schedule(created.schedule_id)).task.task_data
    assert seen is not None
    assert seen.keys() == {"$enc"}


async def test_a_create_that_is_repeated_makes_one_task(client: duetime_client.AsyncClient) -> None:
    due = datetime.datetime.now(datetime.UTC) + LATER
    first = await client.create("echo", due, {"a": 1, "b": 2}, request_id="r")
    assert await client.create("echo", due, {"b": 2, "a": 1}, request_id="r") == first
    assert await client.create_many([NewTask("echo", due, {"a": 1, "b": 2}, request_id="r")]) == [first]
    with pytest.raises(errors.RequestIdReused):
        await client.create("echo", due, {"a": 1, "b": 3}, request_id="r")


async def test_an_update_changes_the_name_and_the_data_that_is_encrypted_for_it(
    start: processes.Starter, client: duetime_client.AsyncClient, tmp_path: pathlib.Path, key: bytes
) -> None:
    task_id = await client.create("echo", LATER, {"a": 1})
    with pytest.raises(errors.InvalidArgument, match=r"^name: must be given with task_data"):
        await client.update(task_id, task_data={"a": 2})
    await client.update(task_id, name="numbers", task_data={"numbers": [2]}, execution_time=clients.NOW)
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    assert (await clients.finished(client, task_id)).result == {"shown": ["2"], "given": [2]}


async def test_keys_are_rotated_without_a_task_that_fails(
    start: processes.Starter, address: str, tmp_path: pathlib.Path, key: bytes
) -> None:
    new = payload_keys.new_key()
    old, both, only_new = PayloadCodec({"a": key}), PayloadCodec({"b": new, "a": key}), PayloadCodec({"b": new})
    # As docs/security.md says: first every reader gets the new key, then it encrypts, then the old one is removed.
    steps = [({"a": key}, old), ({"a": key, "b": new}, both), ({"b": new}, only_new)]
    async with duetime_client.AsyncClient(address, codec=both) as reader:
        created: list[int] = []
        for keys, codec in steps:
            worker = await start.worker(payload_keys_file=payload_keys.file(tmp_path, **keys))
            async with duetime_client.AsyncClient(address, codec=codec) as writer:
                created.append(await writer.create("echo", clients.NOW, {"a": len(created)}))
            task = await clients.finished(reader, created[-1])
            assert task.result == task.task_data == {"a": len(created) - 1}
            worker.terminate()
            await worker.ended()
    async with duetime_client.AsyncClient(address, codec=only_new) as late:
        with pytest.raises(errors.DecryptionFailed, match=r"^task \d+: task_data cannot be decrypted: it is encrypted"):
            await late.get(created[0])
        assert (await late.retry(await _failed(late))).status == "pending"


async def _failed(client: duetime_client.AsyncClient) -> int:
    task_id = await client.create("echo", LATER)
    await client.cancel(task_id)
    return task_id


async def test_a_worker_without_the_key_leaves_the_task_to_others(
    start: processes.Starter, client: duetime_client.AsyncClient, tmp_path: pathlib.Path, key: bytes
) -> None:
    policy = duetime_client.RetryPolicy(initial_backoff=datetime.timedelta(seconds=0.1))
    task_id = await client.create("echo", clients.NOW, {"a": 1}, max_retries=1_000, retry_policy=policy)
    without = await start.worker()
    refused = await clients.reached(client, task_id, "retry_scheduled")
    assert refused.error_message == "task_data is encrypted, and this worker has no DUETIME_PAYLOAD_KEYS_FILE"
    without.terminate()
    await without.ended()
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    assert (await clients.finished(client, task_id)).result == {"a": 1}


async def test_ciphertext_that_is_moved_to_another_handlers_task_runs_nothing(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    observer: duetime_client.AsyncClient,
    received: receiver.Receiver,
    tmp_path: pathlib.Path,
    key: bytes,
) -> None:
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    source = await finished(client, "echo", url=received.url, secret="hunter2")
    seen = await observer.get(source.task_id)
    for name, moved in (("Call Webhook", seen.task_data), ("echo", seen.result), ("Call Webhook", seen.result)):
        assert moved is not None
        task = await finished(observer, name, max_retries=3, **moved)
        assert (task.status, task.retry_count) == ("failed", 0)
        assert task.error_message == (
            f'task_data cannot be decrypted: it was not encrypted as task_data of handler "{name}" with key a, or was '
            "changed since"
        )
    assert received.calls == []


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"$enc": {}}, r"task_data\.\$enc: must be an object with the key's id k, the nonce n and the ciphertext c"),
    ({"$enc": {"k": "a", "n": "AAAA", "c": "A" * 24}}, r"task_data\.\$enc\.n: must be 12 bytes in base64"),
    ({"$enc": {"k": "a", "n": "A" * 16, "c": "A" * 24}, "b": 1}, r"task_data: must have \$enc alone"),
]


@pytest.mark.parametrize(("task_data", "problem"), MALFORMED)
async def test_servers_refuse_another_form(
    observer: duetime_client.AsyncClient, task_data: dict[str, Any], problem: str
) -> None:
    for name in ("another", "Call Webhook"):
        with pytest.raises(errors.InvalidArgument, match=f"^{problem}"):
            await observer.create(name, LATER, task_data)
    with pytest.raises(errors.InvalidArgument, match=rf"^task\.{problem}"):
        await observer.create_schedule("daily", TaskTemplate("another", task_data), interval=LATER)


WAYS = ("result", "error", "chain", "retry", "repr", "structlog", "logging")


async def test_twelve_planted_values_appear_nowhere(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    observer: duetime_client.AsyncClient,
    database_url: str,
    received: receiver.Receiver,
    tmp_path: pathlib.Path,
    key: bytes,
) -> None:
    path = payload_keys.file(tmp_path, a=key)
    worker = await start.worker(handlers=LEAKY, payload_keys_file=path)
    planted = {name: f"planted-{secrets.token_urlsafe(16)}" for name in (*WAYS, "thread", "typed", "hook", "mail")}
    planted["schedule"] = f"planted-{secrets.token_urlsafe(16)}"
    received.body = f"you sent {planted['hook']}".encode()
    tasks = [
        *[await finished(client, "leak", how=way, secret=planted[way]) for way in WAYS],
        await finished(client, "leak from a thread", secret=planted["thread"]),
        await finished(client, "log in", secret=planted["typed"]),
        await finished(client, "Call Webhook", url=received.url, json={"a": planted["hook"]}),
        await finished(client, "Send Email", email="ada@example.com", subject=planted["mail"], attachments=[{}]),
    ]
    await client.create_schedule("daily", TaskTemplate("leak", {"a": planted["schedule"]}), interval=LATER)
    assert len(planted) == 12
    assert planted["result"] in json.dumps(tasks[0].result)
    assert planted["hook"] in json.dumps([task.result for task in tasks])

    running = psutil.Process(worker.pid)
    places = {
        "the database": await dumps.read(database_url),
        "the worker's log": "\n".join(worker.log),
        "its environment": repr(running.environ()),
        "the process list": repr([each.cmdline() for each in (running, *running.children(recursive=True))]),
        "what servers return": repr([task async for task in observer.list()]),
        "errors": repr([task.error_message for task in tasks]),
        "histories": repr([[log async for log in observer.logs(task.task_id)] for task in tasks]),
        "explanations": repr([await observer.explain(task.task_id) for task in tasks]),
        "audit events": repr([event async for event in observer.audit_events()]),
    }
    assert places["the worker's log"].count("[encrypted]") >= 4
    assert "$enc" in places["the database"]
    for place, text in places.items():
        assert not [name for name, value in planted.items() if value[-16:] in text], place


async def test_ciphertext_that_was_changed_in_the_database_is_refused_by_client_and_worker(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    engine: sqlalchemy_asyncio.AsyncEngine,
    tmp_path: pathlib.Path,
    key: bytes,
) -> None:
    task_id = await client.create("echo", datetime.timedelta(seconds=5), {"a": 1})
    async with engine.connect() as connection:
        cut = "jsonb_set(task_data, '{$enc,c}', to_jsonb('AAAA' || substr(task_data #>> '{$enc,c}', 5)))"
        await connection.execute(sa.text(f"UPDATE tasks SET task_data = {cut}"))
    with pytest.raises(errors.DecryptionFailed, match=r"^task \d+: task_data cannot be decrypted: it was not enc"):
        await client.get(task_id)
    assert (await client.cancel(task_id)).task_data.keys() == {"$enc"}, "the task was cancelled, which is not an error"
    await client.retry(task_id)
    await start.worker(payload_keys_file=payload_keys.file(tmp_path, a=key))
    failed = await clients.reached(client, task_id, "failed")
    assert failed.error_message.startswith("task_data cannot be decrypted: it was not encrypted as task_data")
