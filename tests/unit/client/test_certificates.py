"""TLS: which certificates both clients accept, and what they report about others."""

from __future__ import annotations

import asyncio
import datetime
import pathlib
import re
import socket
import ssl
import threading
from collections.abc import Callable

import grpc
import pytest
import trustme

import duetime_client
from duetime.v1 import task_pb2, task_service_pb2
from duetime_client import address, certificates
from tests.support import answers, processes
from tests.support.certificates import ca_file, grpc_server

AUTHORITY = trustme.CA()
PAST, NOW, FUTURE = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2020, 2021, 2099))
KINDS = [duetime_client.AsyncClient, duetime_client.Client]


@pytest.fixture
def ca(tmp_path: pathlib.Path) -> pathlib.Path:
    return ca_file(AUTHORITY, tmp_path)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, ca: pathlib.Path) -> None:
    monkeypatch.setenv("DUETIME_CA_FILE", str(ca))


async def test_calls_and_watches_of_both_clients_are_encrypted(ca: pathlib.Path) -> None:
    end = task_service_pb2.TaskEvent(end=task_service_pb2.TaskEvent.End(reason="TASK_TERMINAL"))

    def use(url: str) -> None:
        with duetime_client.Client(url, ca=ca, api_key="dt_key") as client:
            client.status(1)
            list(client.watch(1))

    async with answers.served(tls=grpc_server(AUTHORITY)) as server:
        server.answers = [answers.PENDING, end]
        async with duetime_client.AsyncClient(server.address, tls=True, ca=str(ca), api_key="dt_key") as client:
            await client.status(1)
            assert [event async for event in client.watch(1)] == []
        server.answers = [answers.PENDING, end]
        await asyncio.to_thread(use, f"https://{server.address}")
        assert server.authorizations == ["Bearer dt_key"] * 4


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.usefixtures("trusted")
async def test_the_authorities_come_from_the_environment(call: answers.Caller, host: str) -> None:
    async with answers.served(answers.PENDING, tls=grpc_server(AUTHORITY)) as server:
        server.address = f"https://{host}:{server.address.rpartition(':')[2]}"
        assert await call(server, "status", 1) is duetime_client.Status.PENDING


REFUSED = {
    "another authority": (grpc_server(trustme.CA()), "its certificate is not trusted: unable to get local issuer"),
    "expired": (grpc_server(AUTHORITY, not_before=PAST, not_after=NOW), "its certificate has expired"),
    "not valid yet": (grpc_server(AUTHORITY, not_before=FUTURE), "its certificate is not valid yet"),
    "another name": (grpc_server(AUTHORITY, "duetime.example"), "its certificate is for another host name"),
    "no TLS": (None, "it does not use TLS; write http://"),
}


@pytest.mark.parametrize(("tls", "why"), REFUSED.values(), ids=REFUSED)
@pytest.mark.usefixtures("trusted")
async def test_a_certificate_that_is_refused_is_reported_as_that(
    call: answers.Caller, tls: grpc.ServerCredentials | None, why: str
) -> None:
    async with answers.served(answers.PENDING, tls=tls) as server:
        at, server.address = server.address, f"https://{server.address}"
        with pytest.raises(duetime_client.TlsFailed, match=f"^{re.escape(f'{at} cannot be reached: {why}')}"):
            await call(server, "delete", 1)
        assert server.asked == []


async def test_the_system_s_authorities_are_trusted_by_default(call: answers.Caller) -> None:
    async with answers.served(answers.PENDING, tls=grpc_server(AUTHORITY)) as server:
        server.address = f"https://{server.address}"
        with pytest.raises(duetime_client.TlsFailed, match="PEM file with it by ca, --ca-file or DUETIME_CA_FILE"):
            await call(server, "delete", 1)


@pytest.mark.usefixtures("trusted")
async def test_a_refused_certificate_is_reported_before_the_timeout_though_reads_are_retried(
    call: answers.Caller,
) -> None:
    async with answers.served(answers.PENDING, tls=grpc_server(trustme.CA())) as server:
        server.address = f"https://localhost:{server.address.rpartition(':')[2]}"
        with pytest.raises(duetime_client.TlsFailed, match="not trusted"):
            await call(server, "status", 1)


async def test_plain_text_to_a_server_with_tls_is_reported_with_what_would_be_right(call: answers.Caller) -> None:
    async with answers.served(answers.PENDING, tls=grpc_server(AUTHORITY)) as server:
        with pytest.raises(
            duetime_client.Unavailable, match=r"cannot be reached: .*; if it expects TLS, write https://"
        ):
            await call(server, "delete", 1)


@pytest.mark.parametrize("host", ["localhost:{port}", "ipv4:127.0.0.1:{other},127.0.0.1:{port}"])
@pytest.mark.parametrize("method", ["status", "watch", "delete"])
async def test_an_address_where_nothing_listens_does_not_hide_what_another_refused(
    call: answers.Caller, host: str, method: str
) -> None:
    async with answers.served(answers.PENDING, tls=grpc_server(AUTHORITY)) as server:
        server.address = host.format(port=server.address.rpartition(":")[2], other=processes.free_port())
        with pytest.raises(duetime_client.Unavailable, match="; if it expects TLS, write https://"):
            await call(server, method, 1)


@pytest.mark.usefixtures("trusted")
async def test_a_watch_ends_once_the_certificate_is_refused(ca: pathlib.Path) -> None:
    log = task_pb2.TaskLog(task_id=1, version=1, status=task_pb2.Task.pending)
    change = task_service_pb2.TaskEvent(cursor="c1", change=log)
    stopping = task_service_pb2.TaskEvent(end=task_service_pb2.TaskEvent.End(reason="SERVER_STOPPING"))
    async with answers.served(tls=grpc_server(AUTHORITY)) as server:
        server.answers = [change, stopping, stopping]
        client = duetime_client.AsyncClient(f"https://{server.address}")
        watch = client.watch(1)
        assert (await anext(watch)).cursor == "c1"
    async with answers.served(change, at=server.address, tls=grpc_server(trustme.CA())):
        with pytest.raises(duetime_client.TlsFailed, match="not trusted"):
            async for _ in watch:
                pass
    await client.aclose()


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.usefixtures("trusted")
async def test_a_watch_outlives_a_restart_although_another_address_has_an_expired_certificate(
    monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    loop, refused, failure = asyncio.get_running_loop(), asyncio.Event(), certificates.failure

    def observed(details: str) -> str | None:
        if (why := failure(details)) is not None:
            loop.call_soon_threadsafe(refused.set)
        return why

    monkeypatch.setattr(certificates, "failure", observed)
    log = task_pb2.TaskLog(task_id=1, version=1, status=task_pb2.Task.pending)
    first, second = (task_service_pb2.TaskEvent(cursor=cursor, change=log) for cursor in ("c1", "c2"))
    stopping, finished = (
        task_service_pb2.TaskEvent(end=task_service_pb2.TaskEvent.End(reason=reason))
        for reason in ("SERVER_STOPPING", "TASK_TERMINAL")
    )
    expired = REFUSED["expired"][0]
    async with answers.served(first, stopping, stopping, tls=grpc_server(AUTHORITY)) as server:
        port = server.address.rpartition(":")[2]
        watcher = answers.Watcher(f"https://localhost:{port}", is_async)
        assert await watcher.next() == "c1"
    async with answers.served(first, at=f"[::1]:{port}", tls=expired):
        # After its retries gRPC has the error of any address: both refuse, so that it is this one for certain.
        async with answers.served(first, at=server.address, tls=expired):
            following = asyncio.create_task(watcher.next())
            await refused.wait()
        async with answers.served(second, finished, finished, at=server.address, tls=grpc_server(AUTHORITY)):
            assert await following == "c2"
            assert await watcher.next() is None
    await watcher.close()


def accepting(configure: Callable[[ssl.SSLContext], object]) -> str:
    """Returns the URL of a server that makes TLS connections as configured, and closes them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    configure(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"https://127.0.0.1:{listener.getsockname()[1]}"


def only_tls_1_1(context: ssl.SSLContext) -> None:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1


@pytest.mark.parametrize(
    ("configure", "why"),
    [
        (only_tls_1_1, "does not support TLS 1.2 or newer"),
        (lambda context: context.set_alpn_protocols(["http/1.1"]), r"does not offer HTTP/2 \(ALPN h2\)"),
    ],
    ids=["TLS 1.1", "HTTP/1.1"],
)
@pytest.mark.usefixtures("trusted")
async def test_old_tls_and_other_protocols_are_refused(
    call: answers.Caller, configure: Callable[[ssl.SSLContext], object], why: str
) -> None:
    with pytest.raises(duetime_client.TlsFailed, match=why):
        await call(answers.Server([], address=accepting(configure)), "delete", 1)


KEY = AUTHORITY.private_key_pem.bytes()
CERTIFICATE = AUTHORITY.cert_pem.bytes()
BROKEN = CERTIFICATE.replace(b"MII", b"MIJ", 1)
CONTENTS = {"empty": b"\n", "text": b"none", "only a key": KEY, "broken": BROKEN, "one broken": CERTIFICATE + BROKEN}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_file_without_valid_certificates_is_named_with_what_would_be_right(
    kind: Callable[..., object], tmp_path: pathlib.Path, content: bytes
) -> None:
    (path := tmp_path / "ca.pem").write_bytes(content)
    right = "; it must be a PEM file with the certificates of the authorities to trust"
    problem = "has no valid certificate" if content.strip() else "is empty"
    with pytest.raises(ValueError, match=f"the CA file '{path}' {problem}{right}") as caught:
        kind("https://127.0.0.1", ca=path)
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "why"), [("/nowhere/ca.pem", "No such file"), ("/", "Is a directory"), ("", ""), ("a\0b", "embedded null")]
)
def test_a_file_that_cannot_be_read_is_named(path: str, why: str) -> None:
    with pytest.raises(
        ValueError, match=f"the CA file {re.escape(repr(path))} cannot be read: {why}.*; name a PEM file"
    ):
        duetime_client.Client("https://127.0.0.1", ca=path)


def test_the_variable_of_an_invalid_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUETIME_CA_FILE", "/nowhere/ca.pem")
    with pytest.raises(ValueError, match=r"'/nowhere/ca.pem' \(DUETIME_CA_FILE\) cannot be read"):
        duetime_client.Client("https://127.0.0.1")


def bundle(path: pathlib.Path) -> None:
    given = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes("# Größe\n".encode("latin-1") + trustme.CA().cert_pem.bytes() + KEY + given)


async def test_a_bundle_with_comments_and_keys_is_accepted(
    call: answers.Caller, ca: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(ca)
    monkeypatch.setenv("DUETIME_CA_FILE", str(ca))
    async with answers.served(answers.PENDING, tls=grpc_server(AUTHORITY)) as server:
        server.address = f"https://{server.address}"
        assert await call(server, "status", 1) is duetime_client.Status.PENDING


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_not_silently_ignored_without_tls(kind: Callable[..., object], ca: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"the connection is not encrypted; write https://127.0.0.1:8080"):
        kind("127.0.0.1:8080", ca=ca)


def test_the_variable_counts_only_with_tls_and_only_without_the_argument(ca: pathlib.Path) -> None:
    plain, encrypted = (address.Address("127.0.0.1:80", is_encrypted=each) for each in (False, True))
    invalid = {"DUETIME_CA_FILE": "/nowhere"}
    assert certificates.channel_credentials(plain, None, invalid) is None
    assert certificates.channel_credentials(encrypted, ca, invalid) is not None
    assert certificates.channel_credentials(encrypted, None, {"DUETIME_CA_FILE": ""}) is not None
