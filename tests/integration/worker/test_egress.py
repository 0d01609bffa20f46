"""The egress policy against real listeners: a refused destination gets no packet."""

import asyncio
import os
import pathlib
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import duetime_client
from duetime_worker import handlers
from duetime_worker.egress import client, fetching
from duetime_worker.egress.policy import Refused
from tests.support import certificates, clients, processes, receiver, webhooks

Names = Callable[[dict[str, list[list[str]]]], list[str]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Makes names resolve to their answers in turn, then to the last one. Returns the lookups."""
    real = socket.getaddrinfo
    lookups: list[str] = []

    def give(answers: dict[str, list[list[str]]]) -> list[str]:
        def resolve(host: str | bytes, port: Any, *rest: Any, **more: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            if name not in answers:
                return real(host, port, *rest, **more)
            lookups.append(name)
            queue = answers[name]
            found = queue.pop(0) if len(queue) > 1 else queue[0]
            return [each for address in found for each in real(address, port, *rest, **more)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        return lookups

    return give


LOOPBACK = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0x0.0.1", "0177.0.0.1", "017700000001",
    "127。0。0。1", "127．0．0．1", "１２７.0.0.1", "①②⑦.0.0.1", "127.0.0.1.", "0.0.0.0", "0", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::]", "localhost", "LOCALHOST", "localhost.", "hooks.localhost",
    "ｌｏｃａｌｈｏｓｔ", "%6c%6f%63alhost", "example.com@127.0.0.1", "example.com:80@127.0.0.1",
    "ada:p%40example.com@localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
async def test_this_machine_is_refused_in_every_notation_without_a_packet(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, host: str
) -> None:
    async with receiver.reachable(monkeypatch, allow=""):
        with pytest.raises(Refused, match="DUETIME_EGRESS_ALLOW"):
            await webhooks.call(f"http://{host}:{received.port}/")
        with pytest.raises((Refused, handlers.Fail, handlers.Retry)):
            await fetching.fetch(f"http://{host}:{received.port}/", max_bytes=10)
    assert received.connections == 0


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "10.0.0.1", "100.64.0.1", "192.0.0.192", "168.63.129.16", "[fd00:ec2::254]", "[fe80::1]"],
)
async def test_other_addresses_that_are_not_public_are_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    async with receiver.reachable(monkeypatch, allow="127.0.0.1"):
        with pytest.raises(Refused, match="DUETIME_EGRESS_ALLOW"):
            await webhooks.call(f"http://{address}/latest/meta-data/")


async def test_one_bad_address_of_a_name_refuses_the_others_too(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, names: Names
) -> None:
    names({"mixed.example": [["127.0.0.1", "10.0.0.1"]], "good.example": [["127.0.0.1"]]})
    async with receiver.reachable(monkeypatch):
        with pytest.raises(Refused, match=r"mixed\.example:.* has an address that is not public"):
            await webhooks.call(f"http://mixed.example:{received.port}/")
        assert received.connections == 0
        await webhooks.call(f"http://good.example:{received.port}/")
    assert received.connections == 1


async def test_a_name_is_resolved_once_and_the_checked_address_is_called(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, names: Names
) -> None:
    lookups = names({"rebinding.example": [["127.0.0.1"], ["127.0.0.9"]]})
    async with await asyncio.start_server(receiver.Receiver().serve, "127.0.0.9", received.port) as other:
        async with receiver.reachable(monkeypatch):
            await webhooks.call(f"http://rebinding.example:{received.port}/", headers={"Connection-Id": "1"})
            assert (lookups, received.connections) == (["rebinding.example"], 1)
            assert received.calls[0].headers["host"] == f"rebinding.example:{received.port}"
            # A kept connection leads to the checked address; a new one is checked again.
            await webhooks.call(f"http://rebinding.example:{received.port}/")
            assert (len(lookups), received.connections) == (1, 1)
            await receiver.close_client()
            with pytest.raises(Refused):
                await webhooks.call(f"http://rebinding.example:{received.port}/")
        assert other.is_serving()
    assert len(received.calls) == 2


async def test_a_kept_connection_serves_no_other_name_for_its_address(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, names: Names
) -> None:
    names({"a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]})
    async with receiver.reachable(monkeypatch, allow="a.example"):
        await webhooks.call(f"http://a.example:{received.port}/")
        for host in ("b.example", "127.0.0.1"):
            with pytest.raises(Refused):
                await webhooks.call(f"http://{host}:{received.port}/")
    assert received.connections == 1


async def test_an_address_that_does_not_answer_leaves_time_for_the_others(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, names: Names
) -> None:
    names({"two.example": [["127.0.0.8", "127.0.0.1"]]})
    async with receiver.reachable(monkeypatch, allow="127.0.0.0/8"):
        await webhooks.call(f"http://two.example:{received.port}/")
    assert received.connections == 1


async def test_tls_verifies_the_name_and_not_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, names: Names
) -> None:
    names({"hooks.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
    tls = certificates.trusted(monkeypatch, tmp_path, "hooks.example")
    async with receiver.receiving(tls=tls) as received, receiver.reachable(monkeypatch):
        assert (await webhooks.call(f"https://hooks.example:{received.port}/"))["status_code"] == 200
        with pytest.raises(handlers.Retry, match="CERTIFICATE_VERIFY_FAILED"):
            await webhooks.call(f"https://other.example:{received.port}/")


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, received: receiver.Receiver
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ada password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{processes.free_port()}")
    async with receiver.reachable(monkeypatch):
        await webhooks.call(received.url)
    assert "authorization" not in received.calls[0].headers


async def test_a_configured_proxy_resolves_the_names(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, names: Names
) -> None:
    lookups = names({"hooks.example": [["127.0.0.1"]]})
    async with receiver.reachable(monkeypatch, proxy=f"http://ada:secret@127.0.0.1:{received.port}"):
        assert (await webhooks.call("http://hooks.example/a"))["status_code"] == 200
        for url in ("http://127.0.0.1/", "http://2130706433/", "http://localhost/", "http://hooks.example:22/"):
            with pytest.raises(Refused):
                await webhooks.call(url)
        received.status = 403
        with pytest.raises(handlers.Retry, match=r"^https://hooks\.example did not answer: ProxyError: 403"):
            await webhooks.call("https://hooks.example/a")
    assert lookups == []
    assert [(each.method, each.path) for each in received.calls] == [
        ("POST", "http://hooks.example/a"),
        ("CONNECT", "hooks.example:443"),
    ]
    assert received.calls[0].headers["proxy-authorization"] == "Basic YWRhOnNlY3JldA=="


async def test_names_that_never_resolve_delay_no_others(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver
) -> None:
    real, end = socket.getaddrinfo, threading.Event()

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        if host == b"slow.example":
            end.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with receiver.reachable(monkeypatch, allow="127.0.0.1,slow.example"):
        slow = [asyncio.create_task(webhooks.call("http://slow.example/")) for _ in range(100)]
        await webhooks.call(received.url)
        assert await asyncio.get_running_loop().run_in_executor(None, lambda: True)
        for each in slow:
            each.cancel()
        await asyncio.wait(slow)
    end.set()
    assert len(received.calls) == 1


async def test_a_name_that_does_not_resolve_in_time_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: end.wait(60) and [])
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.1)
    async with receiver.reachable(monkeypatch):
        with pytest.raises(handlers.Retry, match=r"did not answer: ConnectTimeout: no connection within 0\.1 s$"):
            await webhooks.call("http://slow.example/")
    end.set()


async def test_a_file_is_fetched_up_to_its_limit(monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver) -> None:
    received.body = b"x" * 1000
    async with receiver.reachable(monkeypatch):
        assert await fetching.fetch(received.url, max_bytes=1000) == b"x" * 1000
        with pytest.raises(handlers.Fail, match=f"^the file at {received.url} is larger than 999 bytes$"):
            await fetching.fetch(received.url, max_bytes=999)
        received.raw = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000
        with pytest.raises(handlers.Fail, match="larger than 999 bytes"):
            await fetching.fetch(received.url, max_bytes=999)


async def test_a_compressed_file_is_refused(monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver) -> None:
    received.headers = {"Content-Encoding": "gzip"}
    async with receiver.reachable(monkeypatch):
        with pytest.raises(
            handlers.Fail, match="sent the file compressed, although the request asked for no compression"
        ):
            await fetching.fetch(received.url, max_bytes=1000)
    assert received.calls[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "kind"), [(302, handlers.Fail), (404, handlers.Fail), (204, handlers.Fail), (503, handlers.Retry)]
)
async def test_a_missing_file_is_an_error(
    monkeypatch: pytest.MonkeyPatch, received: receiver.Receiver, status: int, kind: type[Exception]
) -> None:
    received.status, received.headers = status, {"Location": "http://127.0.0.1:1/"}
    async with receiver.reachable(monkeypatch):
        with pytest.raises(kind, match=f"^{received.url} answered {status} "):
            await fetching.fetch(f"{received.url}/secret", max_bytes=1000)


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/x", "file:///etc/passwd", "nonsense", "http://", "//x", "http://xn--/", "http://☃.example/"],
)
async def test_an_invalid_url_is_not_fetched(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    async with receiver.reachable(monkeypatch):
        with pytest.raises(handlers.Fail):
            await fetching.fetch(url, max_bytes=1000)


async def test_a_task_with_a_refused_destination_fails_at_once_naming_the_setting(
    received: receiver.Receiver, start: processes.Starter
) -> None:
    server, _ = await start.server(), await start.worker(egress_allow="")
    async with duetime_client.AsyncClient(server.address) as caller:
        task_id = await caller.create("Call Webhook", clients.NOW, {"url": f"{received.url}/secret"})
        failed = await clients.finished(caller, task_id)
    assert failed.retry_count == 0
    assert failed.error_message == (
        f"the worker may not call 127.0.0.1:{received.port}: it is a loopback address; "
        f"to allow it, set DUETIME_EGRESS_ALLOW=127.0.0.1:{received.port} in the worker's environment"
    )
    assert received.connections == 0


async def test_an_international_name_that_cannot_be_called_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver.reachable(monkeypatch):
        with pytest.raises(handlers.Fail, match=r"^url: .*not allowed"):
            await webhooks.call("http://☃.example/")


@pytest.mark.parametrize("variable", ["DUETIME_EGRESS_ALLOW", "DUETIME_EGRESS_DENY", "DUETIME_EGRESS_PROXY"])
async def test_a_worker_does_not_start_with_an_invalid_setting(variable: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DUETIME_")}
    worker = await processes.launch(
        sys.executable, "-m", "duetime_worker", environment={**environment, variable: "127.0.0.1/nonsense"}
    )
    assert await worker.ended() == 1
    (line,) = worker.log
    assert line.startswith(f"{variable}: ")
