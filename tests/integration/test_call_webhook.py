"""Call Webhook, against a real HTTP server."""

import datetime
import email.utils
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from duetime_worker import handlers
from duetime_worker.builtin import call_webhook
from tests import processes, runs


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what it is sent, and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"thanks"
        self.received: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.received.append((self.command, self.path, dict(self.headers), content))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server names them

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def call(url: str, **more: Any) -> dict[str, Any]:
    webhook = call_webhook.Webhook.model_validate({"url": url, **more})
    return await call_webhook.call_webhook(runs.of(attempt=2), webhook)


async def test_a_call_arrives_as_it_was_asked_for(receiver: Receiver) -> None:
    result = await call(f"{receiver.url}/a?b=c", method="PUT", headers={"X-Key": "value"}, json={"order": 7})
    assert result == {"status_code": 200, "body": "thanks"}
    ((method, path, headers, content),) = receiver.received
    assert (method, path, json.loads(content)) == ("PUT", "/a?b=c", {"order": 7})
    assert (headers["X-Key"], headers["Content-Type"]) == ("value", "application/json")
    assert (headers["Duetime-Task-Id"], headers["Duetime-Attempt"]) == ("7", "2")


async def test_a_call_is_a_post_without_a_body_unless_told_otherwise(receiver: Receiver) -> None:
    await call(receiver.url)
    ((method, _, _, content),) = receiver.received
    assert (method, content) == ("POST", b"")


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_an_answer_that_may_change_is_retried(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(handlers.Retry, match=f"answered {status} .*: thanks") as later:
        await call(receiver.url)
    assert later.value.after is None


async def test_retry_after_in_seconds_is_honoured(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "120"}
    with pytest.raises(handlers.Retry) as later:
        await call(receiver.url)
    assert later.value.after == datetime.timedelta(seconds=120)


async def test_retry_after_as_a_date_is_honoured(receiver: Receiver) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    receiver.status, receiver.headers = 503, {"Retry-After": email.utils.format_datetime(moment, usegmt=True)}
    with pytest.raises(handlers.Retry) as later:
        await call(receiver.url)
    assert later.value.after is not None
    assert datetime.timedelta(minutes=59) < later.value.after <= datetime.timedelta(hours=1)


async def test_a_retry_after_that_is_nonsense_is_passed_over(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 503, {"Retry-After": "soon"}
    with pytest.raises(handlers.Retry) as later:
        await call(receiver.url)
    assert later.value.after is None


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_any_other_answer_fails(receiver: Receiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(handlers.Fail, match=f"answered {status} "):
        await call(receiver.url)


async def test_a_redirect_is_not_followed_and_fails_naming_where_it_leads(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 302, {"Location": "http://127.0.0.1:1/elsewhere"}
    with pytest.raises(
        handlers.Fail, match=r"302 Found, to http://127\.0\.0\.1:1/elsewhere: redirects are not followed"
    ):
        await call(receiver.url)
    assert len(receiver.received) == 1


async def test_what_is_secret_in_a_url_is_not_told(receiver: Receiver) -> None:
    receiver.status = 400
    with pytest.raises(handlers.Fail) as failed:
        await call(f"http://user:secret@127.0.0.1:{receiver.server_port}/hook?token=secret")
    assert str(failed.value).startswith(f"http://127.0.0.1:{receiver.server_port}/hook answered 400")
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("body", [b"x" * 1_000_000, b"\0\xff" * 5000, "é".encode() * 5000])
async def test_an_answer_of_any_size_and_kind_is_kept_in_part(receiver: Receiver, body: bytes) -> None:
    receiver.body = body
    kept = (await call(receiver.url))["body"]
    assert len(kept) == call_webhook.MAX_ANSWER_CHARACTERS
    assert kept.endswith("…")
    assert "\0" not in kept


async def test_a_receiver_that_is_not_there_is_retried() -> None:
    with pytest.raises(Exception, match="All connection attempts failed") as refused:
        await call(f"http://127.0.0.1:{processes.free_port()}/")
    assert not isinstance(refused.value, handlers.Fail)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://example.com"},
        {"url": "nonsense"},
        {"method": "BREW"},
        {"headers": {"X-Key": "a\r\nX-Other: b"}},
        {"headers": {"X Key": "a"}},
        {"colour": "red"},
    ],
)
def test_what_is_no_call_does_not_fit(wrong: dict[str, Any]) -> None:
    registered = handlers.registered(call_webhook.call_webhook)
    assert registered is not None
    with pytest.raises(handlers.Fail, match="task_data does not fit Webhook: "):
        registered.arguments(runs.of(task_data={"url": "http://127.0.0.1/", **wrong}))
