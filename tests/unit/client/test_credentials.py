"""The API key of a client: where it is found, that each call sends it, and that nothing shows it."""

from __future__ import annotations

import asyncio
import pathlib
import traceback

import grpc
import pytest

import duetime_client
from duetime.v1 import task_pb2, task_service_pb2
from duetime_client import address, credentials
from tests.support import answers

KEY = "dt_3mJr7AoUXx2W_planted_hunter2"
SENT = (("authorization", f"Bearer {KEY}"),)
HERE = address.Address("127.0.0.1:8080")


def test_an_argument_takes_precedence_over_the_variable_and_that_over_the_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "admin.key"
    path.write_text(f"authorization: Bearer {KEY}\n")
    in_file = {"DUETIME_API_KEY_FILE": str(path)}
    both = {"DUETIME_API_KEY": KEY, "DUETIME_API_KEY_FILE": "/nowhere"}
    for api_key, environment in ((None, in_file), (None, both), (KEY, {"DUETIME_API_KEY": "other"})):
        assert credentials.Credentials(api_key, HERE, environment).metadata() == SENT
    for api_key, environment in (("", in_file), (None, {})):
        assert credentials.Credentials(api_key, HERE, environment).metadata() == ()


@pytest.mark.parametrize("content", [f"Bearer {KEY}", "", f"{KEY}\n{KEY}", f"authorization: Basic {KEY}", "\xff" * 3])
def test_a_file_in_another_form_is_refused_by_its_variable_and_not_quoted(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / "admin.key"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=f"DUETIME_API_KEY_FILE: .*{path}") as caught:
        credentials.Credentials(None, HERE, {"DUETIME_API_KEY_FILE": str(path)}).metadata()
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("content", [KEY, f"{KEY}\n"])
def test_a_file_may_have_a_key_or_a_token_alone(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    assert credentials.Credentials(None, HERE, {"DUETIME_API_KEY_FILE": str(path)}).metadata() == SENT


def test_a_file_is_read_again_when_it_was_changed_and_not_while_it_is_unusable(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    found = credentials.Credentials(None, HERE, {"DUETIME_API_KEY_FILE": str(path)})

    def sent() -> str:
        return found.metadata()[0][1]

    assert sent() == "Bearer one"
    path.write_text("two")
    assert sent() == sent() == "Bearer two"
    for unusable in ("", "half a token", "\0"):
        path.write_text(unusable)
        assert sent() == "Bearer two"
    path.unlink()
    assert sent() == "Bearer two"
    (tmp_path / "newer").write_text("3rd")
    path.symlink_to(tmp_path / "newer")
    assert sent() == "Bearer 3rd"


def test_a_file_that_is_changed_while_it_is_read_is_read_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "token", credentials._read
    path.write_text("one")

    def slow(file: str) -> str:
        content = read(file)
        path.write_text("two")
        return content

    monkeypatch.setattr(credentials, "_read", slow)
    found = credentials.Credentials(None, HERE, {"DUETIME_API_KEY_FILE": str(path)})
    monkeypatch.setattr(credentials, "_read", read)
    assert found.metadata()[0][1] == "Bearer two"


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="cannot read /nowhere/key: No such file or directory"):
        credentials.Credentials(None, HERE, {"DUETIME_API_KEY_FILE": "/nowhere/key"}).metadata()


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY} {KEY}", f"Bearer {KEY}", "dt_ключ"])
def test_a_malformed_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="must be one word") as caught:
        duetime_client.Client(HERE.target, api_key=key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("target", ["10.1.2.3:8080", "duetime.example:8080", "dns:///localhost.example:80", "[::2]:80"])
def test_a_key_is_never_sent_unencrypted_to_another_machine(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (duetime_client.Client, duetime_client.AsyncClient):
        with pytest.raises(ValueError, match="not encrypted; use TLS: https://host:port") as caught:
            kind(target, api_key=KEY)
        assert KEY not in str(caught.value)
    kind(target, api_key="")
    monkeypatch.setenv("DUETIME_API_KEY", KEY)
    with pytest.raises(ValueError, match="not encrypted"):
        duetime_client.Client(target)


@pytest.mark.parametrize("target", ["10.1.2.3:8443", "duetime.example:443", "127.0.0.1:8443"])
def test_a_key_is_sent_encrypted_to_any_machine(target: str) -> None:
    assert credentials.Credentials(KEY, address.Address(target, is_encrypted=True)).metadata() == SENT
    for kind in (duetime_client.Client, duetime_client.AsyncClient):
        kind(f"https://{target}", api_key=KEY)


async def test_every_call_and_watch_of_both_clients_sends_it() -> None:
    end = task_service_pb2.TaskEvent(end=task_service_pb2.TaskEvent.End(reason="TASK_TERMINAL"))

    def use(address: str) -> None:
        with duetime_client.Client(address, api_key=KEY) as client:
            client.status(1)
            list(client.watch(1))

    async with answers.served(answers.PENDING) as server:
        server.answers = [answers.PENDING, end]
        async with duetime_client.AsyncClient(server.address, api_key=KEY) as client:
            await client.status(1)
            assert [event async for event in client.watch(1)] == []
        server.answers = [answers.PENDING, end]
        await asyncio.to_thread(use, server.address)
        assert server.authorizations == [f"Bearer {KEY}"] * 4


async def test_each_call_and_each_new_stream_sends_what_the_file_has_by_then(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    monkeypatch.setenv("DUETIME_API_KEY_FILE", str(path))

    def use(address: str) -> None:
        with duetime_client.Client(address) as client:
            client.status(1)
            path.write_text("four")
            client.status(1)

    async with answers.served(answers.PENDING) as server:
        async with duetime_client.AsyncClient(server.address) as client:
            await client.status(1)
            path.write_text("two2")
            await client.status(1)
        path.write_text("three")
        await asyncio.to_thread(use, server.address)
        assert server.authorizations == ["Bearer one", "Bearer two2", "Bearer three", "Bearer four"]


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_watch_whose_token_expired_resumes_with_the_one_that_replaced_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    path, event = tmp_path / "token", task_service_pb2.TaskEvent
    path.write_text("one")
    monkeypatch.setenv("DUETIME_API_KEY_FILE", str(path))
    change = event(
        cursor="c1", change=task_pb2.TaskLog(task_id=1, version=1, status=task_pb2.Task.pending, change="created")
    )
    expired, finished = (event(end=event.End(reason=reason)) for reason in ("CREDENTIALS_EXPIRED", "TASK_TERMINAL"))
    async with answers.served(change, expired, finished) as server:
        watcher = answers.Watcher(server.address, is_async)
        assert await watcher.next() == "c1"
        path.write_text("another")
        assert await watcher.next() is None
        await watcher.close()
        assert [request.cursor for request in server.asked] == ["", "c1"]
        assert server.authorizations == ["Bearer one", "Bearer another"]


async def test_a_refusal_has_its_own_exception_which_does_not_show_the_key() -> None:
    for code, kind in (
        (grpc.StatusCode.UNAUTHENTICATED, duetime_client.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, duetime_client.PermissionDenied),
    ):
        async with answers.served(code) as server:
            client = duetime_client.AsyncClient(server.address, api_key=KEY)
            with pytest.raises(kind) as caught:
                await client.get(1)
            await client.aclose()
            assert len(server.authorizations) == 1  # it is not retried
            shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__cause__) + repr(client)
            assert KEY not in shown
