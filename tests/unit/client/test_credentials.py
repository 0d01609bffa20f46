"""The API key of a client: where it is found, that each call sends it, and that nothing shows it."""

from __future__ import annotations

import asyncio
import pathlib
import traceback

import grpc
import pytest

import duetime_client
from duetime.v1 import task_service_pb2
from duetime_client import address, credentials
from tests.support import answers

KEY = "dt_3mJr7AoUXx2W_planted_hunter2"
SENT = (("authorization", f"Bearer {KEY}"),)
HERE = address.Address("127.0.0.1:8080")


def test_an_argument_takes_precedence_over_the_variable_and_that_over_the_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "admin.key"
    path.write_text(f"authorization: Bearer {KEY}\n")
    in_file = {"DUETIME_API_KEY_FILE": str(path)}
    assert credentials.metadata(None, HERE, in_file) == SENT
    assert credentials.metadata(None, HERE, {"DUETIME_API_KEY": KEY, "DUETIME_API_KEY_FILE": "/nowhere"}) == SENT
    assert credentials.metadata(KEY, HERE, {"DUETIME_API_KEY": "other"}) == SENT
    assert credentials.metadata("", HERE, in_file) == credentials.metadata(None, HERE, {}) == ()


@pytest.mark.parametrize("content", [KEY, f"Bearer {KEY}", "", f"authorization: Basic {KEY}", "\xff" * 3])
def test_a_file_in_another_form_is_refused_by_its_variable_and_not_quoted(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / "admin.key"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=f"DUETIME_API_KEY_FILE: .*{path}") as caught:
        credentials.metadata(None, HERE, {"DUETIME_API_KEY_FILE": str(path)})
    assert KEY not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="cannot read /nowhere/key: No such file or directory"):
        credentials.metadata(None, HERE, {"DUETIME_API_KEY_FILE": "/nowhere/key"})


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
    assert credentials.metadata(KEY, address.Address(target, is_encrypted=True)) == SENT
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
