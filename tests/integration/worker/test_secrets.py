"""Secrets by reference, from creation to the receiver, of real servers and workers."""

import email.message
import pathlib
import secrets
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
import pytest_asyncio

import duetime_client
from duetime_client import NewTask, TaskTemplate, errors
from tests.support import clients, dumps, mounts, processes, receiver, smtp

HOOKS = "Call Webhook=hooks/*"


def plant() -> str:
    return f"planted-{secrets.token_urlsafe(12)}/+&"


def reference(name: str) -> dict[str, str]:
    return {"$secret": name}


async def finished(client: duetime_client.AsyncClient, name: str, **task_data: Any) -> duetime_client.Task:
    return await clients.finished(client, await client.create(name, clients.NOW, task_data, max_retries=0))


@pytest_asyncio.fixture
async def client(start: processes.Starter) -> AsyncIterator[duetime_client.AsyncClient]:
    async with duetime_client.AsyncClient((await start.server()).address) as client:
        yield client


async def test_a_webhook_carries_secrets_in_its_url_headers_and_body(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    received: receiver.Receiver,
    tmp_path: pathlib.Path,
) -> None:
    url = f"{received.url}/{secrets.token_hex(8)}"
    mounts.write(tmp_path / "secrets")
    mounts.write(tmp_path / "secrets" / "hooks", token="Bearer hunter2hunter2", url=url, bytes="AP8K")
    await start.worker(secrets_dir=tmp_path / "secrets", secrets_allow=HOOKS)
    headers = {"Authorization": reference("hooks/token")}
    bodies: list[tuple[dict[str, Any], bytes]] = [
        ({"json": {"a": [reference("hooks/token")]}}, b'{"a":["Bearer hunter2hunter2"]}'),
        ({"text": reference("hooks/token")}, b"Bearer hunter2hunter2"),
        ({"form": {"a": reference("hooks/token")}}, b"a=Bearer+hunter2hunter2"),
        ({"base64": reference("hooks/bytes")}, b"\x00\xff\n"),
    ]
    for body, _ in bodies:
        task = await finished(client, "Call Webhook", url=reference("hooks/url"), headers=headers, **body)
        assert task.status == "completed", task.error_message
        assert task.task_data == {"url": reference("hooks/url"), "headers": headers, **body}
    assert [call.content for call in received.calls] == [content for _, content in bodies]
    assert {(call.headers["authorization"], call.path) for call in received.calls} == {
        ("Bearer hunter2hunter2", url.removeprefix(received.url))
    }


async def test_a_mail_carries_secrets(
    start: processes.Starter, client: duetime_client.AsyncClient, tmp_path: pathlib.Path
) -> None:
    inbox = smtp.Inbox()
    mounts.write(tmp_path / "secrets", code="hunter2hunter2", recipient="ada@example.com")
    async with smtp.serving(inbox) as port:
        allow = "Send Email=code,Send Email=recipient"
        await start.worker(secrets_dir=tmp_path / "secrets", secrets_allow=allow, smtp_port=port)
        code = reference("code")
        mail = {"email": [reference("recipient")], "subject": code, "body": code, "headers": {"X-Code": code}}
        task = await finished(client, "Send Email", **mail)
    assert task.status == "completed", task.error_message
    (arrived,) = inbox.mails
    assert isinstance(arrived, email.message.EmailMessage)
    assert (arrived["To"], arrived["Subject"], arrived["X-Code"]) == ("ada@example.com", *["hunter2hunter2"] * 2)
    assert arrived.get_content().strip() == "hunter2hunter2"


async def test_a_secret_is_replaced_without_a_restart(
    start: processes.Starter, client: duetime_client.AsyncClient, tmp_path: pathlib.Path
) -> None:
    mounts.mount(tmp_path / "secrets", token="1234")
    await start.worker(
        handlers="tests.support.leaky_handlers", secrets_dir=tmp_path / "secrets", secrets_allow="length=*"
    )
    assert (await finished(client, "length", secret=reference("token"))).result == {"length": 4}
    mounts.mount(tmp_path / "secrets", token="12345")
    assert (await finished(client, "length", secret=reference("token"))).result == {"length": 5}


async def test_a_caller_cannot_send_any_secret_to_a_url_of_his_choice(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    received: receiver.Receiver,
    tmp_path: pathlib.Path,
) -> None:
    mounts.write(tmp_path / "secrets", database="hunter2hunter2")
    mounts.write(tmp_path / "secrets" / "hooks", token="hunter3hunter3")
    worker = await start.worker(secrets_dir=tmp_path / "secrets", secrets_allow=HOOKS)
    for name in ("database", "nothing"):
        task = await finished(client, "Call Webhook", url=received.url, json={"a": reference(name)})
        assert (task.status, task.error_message) == (
            "failed",
            f'the secret "{name}" is not available to handler "Call Webhook": DUETIME_SECRETS_ALLOW does not permit it',
        )
    task = await finished(client, "Call Webhook", url=received.url, json={"a": reference("hooks/nothing")})
    assert task.error_message == (
        'the secret "hooks/nothing" is not available to handler "Call Webhook": DUETIME_SECRETS_DIR has no such file'
    )
    assert [change async for change in client.logs(task.task_id)][-1].change == "failed"
    worker.terminate()
    await worker.ended()
    await start.worker()
    task = await finished(client, "Call Webhook", url=received.url, json={"a": reference("hooks/token")})
    assert task.error_message.endswith('handler "Call Webhook": this worker has no DUETIME_SECRETS_DIR')
    assert received.calls == []


MALFORMED: list[tuple[dict[str, Any], str]] = [
    ({"$secret": "a"}, "task_data: must not be a reference to a secret as a whole"),
    ({"json": {"$secret": "a", "b": 1}}, r"task_data\.json: must have \$secret alone"),
    ({"json": [{"$secret": "../../etc/passwd"}]}, r"task_data\.json\[0\]\.\$secret: must be the name of a secret"),
    ({"json": {"$secret": None}}, r"task_data\.json\.\$secret: must be the name of a secret"),
    ({"json": [{"$secret": "a"}] * 21}, "task_data: must have at most 20 references to secrets"),
]


@pytest.mark.parametrize(("task_data", "problem"), MALFORMED)
async def test_every_rpc_refuses_a_reference_that_is_malformed(
    client: duetime_client.AsyncClient, task_data: dict[str, Any], problem: str
) -> None:
    task_id = await client.create("another", clients.NOW)
    schedule = await client.create_schedule("daily", TaskTemplate("another"), cron="@daily")
    calls: list[tuple[str, Any]] = [
        ("", client.create("another", clients.NOW, task_data)),
        (r"requests\[0\]\.", client.create_many([NewTask("another", clients.NOW, task_data)])),
        ("", client.update(task_id, task_data=task_data)),
        (r"task\.", client.create_schedule("other", TaskTemplate("another", task_data), cron="@daily")),
        (r"task\.", client.update_schedule(schedule.schedule_id, task=TaskTemplate("another", task_data))),
    ]
    for path, call in calls:
        with pytest.raises(errors.InvalidArgument, match=f"^{path}{problem}"):
            await call


async def test_what_is_known_of_a_built_in_handlers_task_is_still_checked(client: duetime_client.AsyncClient) -> None:
    url = {"url": reference("hooks/url")}
    for task_data, problem in (
        ({**url, "method": "STEAL"}, r"task_data\.method: must be 'GET'"),
        ({**url, "headers": {"Host": reference("a")}}, r"task_data\.headers\.Host: is set by the URL"),
        ({"headers": {"X-A": reference("a")}}, r"task_data\.url: is required"),
    ):
        with pytest.raises(errors.InvalidArgument, match=f"^{problem}"):
            await client.create("Call Webhook", clients.NOW, task_data)


WAYS = ("result", "error", "chain", "retry", "fail", "repr", "structlog", "logging")


async def test_twelve_planted_secrets_appear_nowhere(
    start: processes.Starter,
    client: duetime_client.AsyncClient,
    received: receiver.Receiver,
    database_url: str,
    tmp_path: pathlib.Path,
) -> None:
    names = [*(f"way-{way}" for way in WAYS), "thread", "typed", "echoed", "url"]
    planted = {name: plant() for name in names}
    planted["url"] = f"http://127.0.0.1:{processes.free_port()}/{plant()}"
    mounts.write(tmp_path / "secrets", **planted)
    allow = [f"{name}=*" for name in ("leak", "leak from a thread", "log in", "Call Webhook")]
    worker = await start.worker(
        handlers="tests.support.leaky_handlers", secrets_dir=tmp_path / "secrets", secrets_allow=",".join(allow)
    )
    received.body = b'{"you sent": "Bearer ' + planted["echoed"].encode() + b'"}'
    header = {"Authorization": reference("echoed")}
    tasks = [
        *[await finished(client, "leak", how=way, secret=reference(f"way-{way}")) for way in WAYS],
        await finished(client, "leak from a thread", secret=reference("thread")),
        await finished(client, "log in", secret=reference("typed")),
        await finished(client, "Call Webhook", url=received.url, headers=header),
        await finished(client, "Call Webhook", url=reference("url")),
    ]
    assert len(tasks) == len(planted) == 12
    assert received.calls[0].headers["authorization"] == planted["echoed"]
    assert all(task.result is not None or task.error_message for task in tasks)

    running = psutil.Process(worker.pid)
    places = {
        "the database": await dumps.read(database_url),
        "the worker's log": "\n".join(worker.log),
        "its environment": repr(running.environ()),
        "the process list": repr([each.cmdline() for each in (running, *running.children(recursive=True))]),
        "the tasks": repr(tasks),
        "their explanations": repr([await client.explain(task.task_id) for task in tasks]),
        "audit events": repr([event async for event in client.audit_events()]),
    }
    assert places["the worker's log"].count("[secret way-") >= 4
    assert places["the database"].count("[secret way-result]") >= 3
    for place, text in places.items():
        assert not [name for name, value in planted.items() if value[-16:] in text], place
