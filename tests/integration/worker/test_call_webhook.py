"""Call Webhook, against a real HTTP server."""

import datetime
import json
import pathlib
from typing import Any

import pytest

import duetime_client
from duetime_worker import handlers
from tests.support import certificates, clients, processes, receiver, runs, webhooks

pytestmark = pytest.mark.usefixtures("reachable")


async def test_a_call_arrives_as_requested(received: receiver.Receiver) -> None:
    result = await webhooks.call(
        f"{received.url}/a?b=c", method="PUT", headers={"X-Key": " value "}, json={"order": "№ 7"}
    )
    assert result == {"status_code": 200, "body": "thanks"}
    (arrived,) = received.calls
    assert (arrived.method, arrived.path) == ("PUT", "/a?b=c")
    assert json.loads(arrived.content) == {"order": "№ 7"}
    assert (arrived.headers["x-key"], arrived.headers["content-type"]) == ("value", "application/json")


async def test_a_call_is_a_post_without_a_body_by_default(received: receiver.Receiver) -> None:
    await webhooks.call(received.url)
    await webhooks.call(received.url, json=None, headers={"content-type": "application/vnd.api+json"})
    bare, null = received.calls
    assert (bare.method, bare.content, "content-type" in bare.headers) == ("POST", b"", False)
    assert (null.content, null.headers["content-type"]) == (b"null", "application/vnd.api+json")


@pytest.mark.parametrize(
    ("body", "content", "media_type"),
    [
        ({"json": "null"}, b'"null"', "application/json"),
        ({"form": {"a": "1 & 2"}}, b"a=1+%26+2", "application/x-www-form-urlencoded"),
        (
            {"form": {"ü": ["x", 1, True, 1.5]}},
            b"%C3%BC=x&%C3%BC=1&%C3%BC=true&%C3%BC=1.5",
            "application/x-www-form-urlencoded",
        ),
        ({"form": {}}, b"", "application/x-www-form-urlencoded"),
        ({"text": "<a>№ 7</a>\n"}, "<a>№ 7</a>\n".encode(), "text/plain; charset=utf-8"),
        ({"base64": "AP8K"}, b"\x00\xff\n", "application/octet-stream"),
    ],
)
async def test_a_body_is_json_a_form_a_text_or_bytes(
    received: receiver.Receiver, body: dict[str, Any], content: bytes, media_type: str
) -> None:
    await webhooks.call(received.url, **body)
    await webhooks.call(received.url, **body, headers={"content-TYPE": "application/xml"})
    assert [each.content for each in received.calls] == [content, content]
    assert [each.headers["content-type"] for each in received.calls] == [media_type, "application/xml"]


@pytest.mark.parametrize("method", ["get", "Head", "POST", "put", "pAtCh", "delete"])
async def test_a_method_may_be_written_in_lower_case(received: receiver.Receiver, method: str) -> None:
    received.body = b""
    assert await webhooks.call(received.url, method=method) == {"status_code": 200, "body": ""}
    assert received.calls[0].method == method.upper()


async def test_a_url_may_have_8000_characters(received: receiver.Receiver) -> None:
    path = "/?signature=".ljust(8000 - len(received.url), "x")
    await webhooks.call(received.url + path)
    assert received.calls[0].path == path


async def test_a_receiver_can_recognize_a_repeated_call(received: receiver.Receiver) -> None:
    await webhooks.call(received.url, runs.of(task_id=7, attempt=2), headers={"duetime-attempt": "1"})
    headers = received.calls[0].headers
    assert (headers["duetime-task-id"], headers["duetime-attempt"]) == ("7", "2")


async def test_calls_share_a_connection_and_no_cookies(received: receiver.Receiver) -> None:
    received.headers = {"Set-Cookie": "session=1"}
    await webhooks.call(received.url)
    await webhooks.call(received.url)
    assert [arrived.connection for arrived in received.calls] == [1, 1]
    assert "cookie" not in received.calls[1].headers


async def test_credentials_in_a_url_are_sent(received: receiver.Receiver) -> None:
    await webhooks.call(f"http://ada:secret@127.0.0.1:{received.port}/")
    assert received.calls[0].headers["authorization"] == "Basic YWRhOnNlY3JldA=="


async def test_calls_over_tls_need_a_trusted_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    async with receiver.receiving(tls=certificates.trusted(monkeypatch, tmp_path)) as received:
        url = f"https://127.0.0.1:{received.port}/"
        assert (await webhooks.call(url))["status_code"] == 200
        await receiver.close_client()
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(handlers.Retry, match="CERTIFICATE_VERIFY_FAILED"):
            await webhooks.call(url)


async def test_a_retry_honours_retry_after(received: receiver.Receiver, pair: processes.Pair) -> None:
    received.status, received.headers = 503, {"Retry-After": "1"}
    async with duetime_client.AsyncClient(pair.server.address) as client:
        task_id = await client.create("Call Webhook", clients.NOW, {"url": f"{received.url}/secret", "json": [1]})
        log = await clients.reached(client, task_id, "retry_scheduled")
        received.status = 200
        assert log.error_message == f"{received.url} answered 503 Service Unavailable"
        assert log.execution_time - log.timestamp == datetime.timedelta(seconds=1)
        done = await clients.finished(client, task_id)
    assert done.result == {"status_code": 200, "body": "thanks"}
    assert [arrived.headers["duetime-task-id"] for arrived in received.calls] == [str(task_id)] * 2
    assert [arrived.headers["duetime-attempt"] for arrived in received.calls] == ["1", "2"]
    assert not any("secret" in line for line in pair.worker.log)
