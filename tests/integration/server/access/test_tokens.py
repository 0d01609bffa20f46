"""Callers with access tokens have the rights of their grants in every service, until their tokens expire."""

import asyncio
import pathlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from duetime.v1 import task_service_pb2_grpc
from duetime_core.process import outage
from duetime_server.access import chain, issuers, responses, tokens
from duetime_server.services import tasks
from duetime_server.watch import subscription
from tests.acceptance import requests
from tests.support import guarded as guarded_servers
from tests.support import issuers as made
from tests.support import principals


@pytest.fixture
def issuer() -> made.Issuer:
    """An issuer whose keys are in a file."""
    return made.Issuer()


@pytest_asyncio.fixture
async def guarded(
    task_service: tasks.TaskService, issuer: made.Issuer, tmp_path: pathlib.Path
) -> AsyncIterator[guarded_servers.Guarded]:
    """The service of tasks behind the interceptors of a server that trusts the issuer."""
    path = made.write_file(tmp_path, issuer.url, keys_file=str(issuer.write_keys(tmp_path)))
    authenticator = tokens.TokenAuthenticator(issuers.read(str(path)))
    interceptors = chain.interceptors(_Bearers(authenticator), outage.Outage("the database", "calls fail"))
    server = grpc.aio.server(interceptors=interceptors)
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(task_service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield guarded_servers.Guarded(channel, principals.Tokens(), f"127.0.0.1:{port}")
    await server.stop(None)


class _Bearers:
    def __init__(self, authenticator: tokens.TokenAuthenticator) -> None:
        self.authenticate = authenticator.authenticate

    def came_from(self, _principal: object, _address: str) -> None:
        pass


async def refusal(calling: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calling
    return caught.value.code()


async def test_the_user_of_a_token_is_the_actor_of_the_log(
    guarded: guarded_servers.Guarded, issuer: made.Issuer
) -> None:
    token = issuer.token("editor", email="alice@corp.test")
    created = await guarded.call("CreateTask", requests.as_message(), token=token)
    logs = await guarded.call("ListTaskLogs", token=token, task_id=created.task_id)
    assert [each.actor for each in logs.logs] == ["jwt:corp:alice"]


async def test_a_viewer_s_token_reads_no_payloads(guarded: guarded_servers.Guarded, issuer: made.Issuer) -> None:
    message = requests.as_message()
    message.task_data.update({"secret": "hunter2"})
    created = await guarded.call("CreateTask", message, token=issuer.token("editor"))
    for group, seen in (("viewer", {}), ("editor", {"secret": "hunter2"})):
        task = await guarded.call("GetTask", token=issuer.token(group), task_id=created.task_id)
        assert dict(task.task_data).get("secret") == seen.get("secret")


async def test_a_limited_token_creates_only_tasks_of_its_handler_in_its_queue(
    guarded: guarded_servers.Guarded, issuer: made.Issuer
) -> None:
    token, denied = issuer.token("limited"), grpc.StatusCode.PERMISSION_DENIED
    for name, queue in (("Send Email", "mail"), ("Greet", "default")):
        message = requests.as_message(name=name, queue=queue)
        assert await refusal(guarded.call("CreateTask", message, token=token)) is denied
    await guarded.call("CreateTask", requests.as_message(name="Greet", queue="mail"), token=token)


async def test_a_submitter_has_its_own_tasks_with_each_of_its_tokens_and_no_others(
    guarded: guarded_servers.Guarded, issuer: made.Issuer
) -> None:
    created = await guarded.call("CreateTask", requests.as_message(), token=issuer.token("submitter"))
    later, other = issuer.token("submitter", jti="2"), issuer.token("submitter", sub="bob")
    await guarded.call("GetTaskStatus", token=later, task_id=created.task_id)
    unknown = guarded.call("GetTaskStatus", token=other, task_id=created.task_id)
    assert await refusal(unknown) is grpc.StatusCode.NOT_FOUND


async def test_a_token_without_a_grant_is_denied_every_method(
    guarded: guarded_servers.Guarded, issuer: made.Issuer
) -> None:
    for method in ("GetTask", "CreateTask", "ListTasks"):
        calling = guarded.call(method, token=issuer.token("strangers"))
        assert await refusal(calling) is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("is_busy", [False, True])
async def test_a_watch_ends_at_a_heartbeat_or_a_change_once_its_token_has_expired(
    guarded: guarded_servers.Guarded, issuer: made.Issuer, monkeypatch: pytest.MonkeyPatch, is_busy: bool
) -> None:
    monkeypatch.setattr(subscription, "HEARTBEAT_SECONDS", 3600 if is_busy else 0.2)
    monkeypatch.setattr(responses, "_CHECK_SECONDS", 0.0)
    expires = time.time() - tokens.LEEWAY_SECONDS + 2
    watch = guarded.watch("WatchTasks", token=issuer.token("viewer", exp=expires))
    editor = issuer.token("editor")
    async with asyncio.timeout(30):
        event = await watch.read()
        while event.WhichOneof("event") != "end":
            if is_busy:
                await guarded.call("CreateTask", requests.as_message(), token=editor)
            event = await watch.read()
        assert event.end.reason == "CREDENTIALS_EXPIRED"
        assert time.time() >= expires + tokens.LEEWAY_SECONDS
        assert await watch.read() is grpc.aio.EOF
    renewed = guarded.watch("WatchTasks", token=issuer.token("viewer"), cursor=event.cursor)
    assert (await renewed.read()).WhichOneof("event") in ("heartbeat", "change")
    renewed.cancel()
