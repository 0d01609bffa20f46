"""How Call Webhook handles responses, against a real HTTP server."""

import datetime
import gzip
import http
import socket

import pytest

from duetime_worker import handlers
from duetime_worker.builtin import call_webhook
from tests.support import processes, receiver, webhooks

pytestmark = pytest.mark.usefixtures("reachable")


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (408, "408 Request Timeout"),
        (425, "425 Too Early"),
        (429, "429 Too Many Requests"),
        (500, "500 Internal Server Error"),
        (503, "503 Service Unavailable"),
        (599, "599"),
    ],
)
async def test_a_temporary_failure_is_retried(received: receiver.Receiver, status: int, shown: str) -> None:
    received.status = status
    with pytest.raises(handlers.Retry, match=f"^{received.url} answered {shown}$") as later:
        await webhooks.call(received.url)
    assert later.value.after is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("119.003", 120),
        ("0.2", 1),
        ("7.", 7),
        ("%a, %d %b %Y %H:%M:%S GMT", 3600),
        ("%A, %d-%b-%y %H:%M:%S GMT", 3600),  # the other two forms of RFC 9110, 5.6.7
        ("%a %b %e %H:%M:%S %Y", 3600),
        ("%a, %d %b %Y %H:%M:%S -0000", 3600),
        ("9" * 400, 86400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400),
        # The retry policy decides.
        ("0", None),
        ("0.0", None),
        ("-0.5", None),
        ("+60", None),
        (".5", None),
        ("1e3", None),
        ("60, 120", None),
        ("60s", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
async def test_retry_after_is_honoured_up_to_a_day(
    received: receiver.Receiver, value: str, seconds: float | None
) -> None:
    in_an_hour = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    received.status, received.headers = 429, {"Retry-After": in_an_hour.strftime(value)}
    with pytest.raises(handlers.Retry) as later:
        await webhooks.call(received.url)
    after = later.value.after and later.value.after.total_seconds()
    # A time relative to a date of whole seconds changes while the call is in progress.
    assert after == (pytest.approx(seconds, abs=60) if seconds == 3600 else seconds)


@pytest.mark.parametrize("status", [304, 400, 401, 404, 410])
async def test_any_other_status_fails(received: receiver.Receiver, status: int) -> None:
    received.status, received.body = status, b""
    with pytest.raises(handlers.Fail, match=rf"^{received.url} answered {status} {http.HTTPStatus(status).phrase}$"):
        await webhooks.call(received.url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://ada:secret@127.0.0.1:1/secret?token=secret#secret", "to http://127.0.0.1:1"),
        ("//elsewhere.example/secret", "to http://elsewhere.example"),
        ("/secret", "to {url}"),
        ("HTTPS://Elsewhere.Example:8443?secret", "to https://elsewhere.example:8443"),
        ("", "to {url}"),
        ("gopher://169.254.169.254/secret", ""),
        ("http://[secret", ""),
        ("http://secret:secret/", ""),
        ("http://xn--/secret", ""),
        ("mailto:secret@example.com", ""),
        ("javascript:secret", ""),
        ("https:", ""),
        ("\x01secret", ""),
        ("http://" + "secret" * 12_000, ""),
    ],
)
async def test_a_redirect_is_not_followed_and_fails_naming_its_target_origin(
    received: receiver.Receiver, status: int, location: str, shown: str
) -> None:
    received.status, received.headers = status, {"Location": location}
    with pytest.raises(handlers.Fail) as failed:
        await webhooks.call(received.url)
    redirect = f"a redirect {shown.format(url=received.url)}".rstrip()
    assert str(failed.value).endswith(f"{http.HTTPStatus(status).phrase}, {redirect}: redirects are not followed")
    assert "secret" not in str(failed.value)
    assert len(received.calls) == 1


@pytest.mark.parametrize("status", [302, 400, 503])
async def test_an_error_names_only_the_origin_and_the_status(received: receiver.Receiver, status: int) -> None:
    received.status, received.reason = status, "secret5"
    received.headers = {"Location": f"{received.url}/hooks/secret1/?token=secret2"}
    received.body = b"cannot POST /hooks/secret1?token=secret2 for Bearer secret3 and secret2 or secret3 or secret4"
    with pytest.raises((handlers.Fail, handlers.Retry)) as ended:
        await webhooks.call(
            f"http://ada:secret4@127.0.0.1:{received.port}/hooks/secret1?token=secret2",
            headers={"Authorization": "Bearer secret3"},
        )
    assert str(ended.value).startswith(f"{received.url} answered {status} {http.HTTPStatus(status).phrase}")
    assert "secret" not in str(ended.value)


@pytest.mark.parametrize(
    "body", [b"x" * 10_000_000, b"\0\xff" * 5000, "é".encode() * 5000, "😀".encode() * 5000], ids=len
)
async def test_the_beginning_of_a_body_of_any_size_and_kind_is_kept(received: receiver.Receiver, body: bytes) -> None:
    received.body = body
    kept = (await webhooks.call(received.url))["body"]
    assert len(kept) == call_webhook.MAX_BODY_CHARACTERS
    assert kept.endswith("…")
    assert "\0" not in kept


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-16", "zlib", "nonsense"])
async def test_the_charset_of_a_response_is_ignored(received: receiver.Receiver, charset: str) -> None:
    received.headers = {"Content-Type": f"text/plain; charset={charset}"}
    received.body = b"\\ud800"
    assert (await webhooks.call(received.url))["body"] == "\\ud800"


async def test_a_compressed_body_is_neither_requested_nor_decompressed(received: receiver.Receiver) -> None:
    received.headers = {"Content-Encoding": "gzip"}
    received.body = gzip.compress(b"x" * 10_000_000)
    assert len((await webhooks.call(received.url))["body"]) == call_webhook.MAX_BODY_CHARACTERS
    assert received.calls[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_success_whose_body_never_ends_completes(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, hangs_up: bool
) -> None:
    monkeypatch.setattr(call_webhook, "_BODY_SECONDS", 0.2)
    received.raw, received.hangs_up = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthan", hangs_up
    assert await webhooks.call(received.url) == {"status_code": 200, "body": "than"}
    assert await webhooks.call(received.url) == {"status_code": 200, "body": "than"}


@pytest.mark.parametrize("raw", [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 20"])
async def test_no_response_is_retried_and_the_bytes_received_are_not_quoted(
    received: receiver.Receiver, raw: bytes
) -> None:
    received.raw, received.hangs_up = raw, True
    with pytest.raises(handlers.Retry, match=rf"^{received.url} did not answer: RemoteProtocolError$"):
        await webhooks.call(received.url)


async def test_an_unreachable_receiver_is_retried() -> None:
    url = f"http://127.0.0.1:{processes.free_port()}"
    with pytest.raises(handlers.Retry, match=f"^{url} did not answer: ConnectError: "):
        await webhooks.call(f"{url}/secret")


async def test_a_name_that_does_not_resolve_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*_arguments: object, **_more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    with pytest.raises(handlers.Retry, match=r"^http://example\.com did not answer: ConnectError: .*not known"):
        await webhooks.call("http://example.com/secret")
