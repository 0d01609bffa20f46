"""The server's address in every notation, and the proxies of the environment."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable

import pytest

import duetime_client
from duetime_client import address, proxy
from tests.support import answers

DEAD_PROXY = "http://user:secret@127.0.0.1:9"


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
        ("127.0.0.1:8080/", "127.0.0.1:8080"),
        (" grpc://duetime.internal:8080\n", "duetime.internal:8080"),
        ("HTTP://duetime.internal", "duetime.internal:80"),
        ("[::1]:8080", "[::1]:8080"),
        ("http://[fe80::1%eth0]:8080", "[fe80::1%eth0]:8080"),
        ("unix:/run/duetime.sock", "unix:/run/duetime.sock"),
        ("dns:///duetime.internal:8080", "dns:///duetime.internal:8080"),
    ],
)
def test_every_common_notation_of_an_address_is_accepted(given: str, target: str) -> None:
    assert address.parse(given) == address.Address(target, is_encrypted=False)


@pytest.mark.parametrize(
    ("given", "tls", "target"),
    [
        ("https://duetime.internal", None, "duetime.internal:443"),
        ("HTTPS://duetime.internal:8443/", None, "duetime.internal:8443"),
        ("https://[::1]", True, "[::1]:443"),
        ("grpcs://duetime.internal:8443", None, "duetime.internal:8443"),
        ("duetime.internal:8443", True, "duetime.internal:8443"),
        ("dns:///duetime.internal:8443", True, "dns:///duetime.internal:8443"),
    ],
)
def test_https_and_grpcs_and_the_argument_mean_tls(given: str, tls: bool | None, target: str) -> None:
    assert address.parse(given, tls=tls) == address.Address(target, is_encrypted=True)


@pytest.mark.parametrize("kind", [duetime_client.AsyncClient, duetime_client.Client])
@pytest.mark.parametrize(
    ("given", "tls", "right"),
    [
        ("http://duetime.internal", True, "contradicts tls=True; write https://"),
        ("grpc://duetime.internal:8080", True, "contradicts tls=True; write grpcs://"),
        ("https://duetime.internal", False, "contradicts tls=False; write http://"),
        ("grpcs://duetime.internal:8443", False, "contradicts tls=False; write grpc://"),
        ("unix:/run/duetime.sock", True, "a unix socket is not encrypted"),
        ("duetime.internal", True, "has no port"),
    ],
)
def test_an_address_that_contradicts_tls_is_refused_with_what_would_be_right(
    kind: Callable[..., object], given: str, tls: bool, right: str
) -> None:
    with pytest.raises(ValueError, match=right):
        kind(given, tls=tls)


@pytest.mark.parametrize("kind", [duetime_client.AsyncClient, duetime_client.Client])
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", "is empty; write host:port"),
        ("http://", "is empty"),
        ("https://", "is empty"),
        ("grpcs://127.0.0.1", "has no port"),
        ("redis://127.0.0.1:6379", "unknown scheme"),
        ("http://127.0.0.1:8080/api", "must not have a path"),
        ("http://127.0.0.1:8080?x=1", "must not have a path"),
        ("127.0.0.1", "has no port"),
        ("::1:8080", "in brackets"),
        ("[::1]", "has no port"),
        ("[nonsense]:8080", "brackets do not contain an IPv6 address"),
        ("127.0.0.1:0", "from 1 to 65535"),
        ("127.0.0.1:65536", "from 1 to 65535"),
        ("127.0.0.1:" + "9" * 5_000, "from 1 to 65535"),
        ("127.0.0.1:http", "is not an address"),
        ("a host:8080", "is not an address"),
        ("host\x1b[2J:8080", r"\\x1b.* in brackets|is not an address|IPv6"),
        ("https://user:secret@127.0.0.1:8080", "must not contain a user name or password"),
        ("user:secret@127.0.0.1:8080", "must not contain a user name or password"),
    ],
)
def test_invalid_address_is_refused_in_one_sentence(kind: Callable[[str], object], given: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        kind(given)
    message = str(caught.value)
    assert len(message) < 250
    assert message.isprintable()
    assert "secret" not in message


@pytest.mark.parametrize(
    ("target", "is_local"),
    [
        *[(f"{host}:8080", True) for host in ("127.0.0.1", "127.8.9.10", "localhost", "LocalHost.", "me.localhost")],
        *[(f"{host}:8080", True) for host in ("[::1]", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0", "[::]")],
        *[("unix:/run/x.sock", True), ("unix:///run/x.sock", True), ("unix-abstract:x", True)],
        *[("dns:localhost:1", True), ("dns:///localhost:1", True), ("ipv6:%5B::1%5D:1", True)],
        *[("ipv4:127.0.0.1:1,127.0.0.2:1", True), ("ipv4:127.0.0.1:1,192.0.2.1:1", False)],
        *[(f"{host}:8080", False) for host in ("192.0.2.1", "localhost.example.com", "[2001:db8::1]", "10.0.0.1")],
        ("dns:///duetime.example:1", False),
    ],
)
def test_this_machine_is_recognized_in_every_notation(target: str, is_local: bool) -> None:
    assert address.is_local(target) is is_local


@pytest.mark.parametrize(
    ("target", "port"),
    [
        ("127.0.0.1:8080", 8080),
        ("localhost:08080", 8080),
        ("[::1]:8080", 8080),
        ("dns:localhost:8080", 8080),
        ("dns:///localhost:8080", 8080),
        ("ipv4:127.0.0.1:8080,127.0.0.2:8080", 8080),
        ("ipv6:%5B::1%5d:8080", 8080),
        ("ipv4:127.0.0.1:8080,127.0.0.2:8081", None),
        ("ipv4:127.0.0.1:8080,127.0.0.2", None),
        ("ipv6:[::1]", None),
        ("ipv6:::1", None),
        ("dns:localhost", None),
        ("dns:///localhost:808%30", None),
        ("dns:///localhost:" + "8" * 5_000, None),
        ("unix:/run/edge:8080", None),
        ("unix:run:8080", None),
        ("", None),
    ],
)
def test_the_port_is_read_in_every_notation(target: str, port: int | None) -> None:
    assert address.port(target) == port


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "unix"])
async def test_this_machine_is_reached_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, short_directory: pathlib.Path, call: answers.Caller, variable: str, host: str
) -> None:
    monkeypatch.setenv(variable, DEAD_PROXY)
    at = f"unix:{short_directory}/{variable}.sock" if host == "unix" else f"{host}:0"
    async with answers.served(answers.PENDING, at=at) as server:
        assert await call(server, "status", 1) is duetime_client.Status.PENDING


async def test_failure_through_a_proxy_names_the_proxy_and_not_its_password(
    monkeypatch: pytest.MonkeyPatch, call: answers.Caller
) -> None:
    monkeypatch.setenv("http_proxy", DEAD_PROXY)
    server = answers.Server([], address="192.0.2.1:8080")
    through = re.escape("192.0.2.1:8080 cannot be reached through the proxy 127.0.0.1:9 (http_proxy): ")
    with pytest.raises(duetime_client.Unavailable, match=through) as caught:
        await call(server, "delete", 1)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("no_proxy", "is_used"),
    [
        ("", True),
        ("example.org", True),
        ("example.com", False),
        (".example.com", False),
        ("*.example.com", False),
        ("*", False),
        ("other, DUETIME.example.com ,", False),
    ],
)
def test_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch, no_proxy: str, is_used: bool) -> None:
    monkeypatch.setenv("grpc_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    through = " through the proxy proxy.example:3128 (grpc_proxy)"
    assert proxy.described("duetime.example.com:8080") == (through if is_used else "")
    assert proxy.is_used("duetime.example.com:8080") is is_used


def test_no_proxy_accepts_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8")
    assert not proxy.is_used("10.1.2.3:8080")
    assert proxy.is_used("192.0.2.1:8080")


@pytest.mark.parametrize("value", ["http://user:secret@[:3128", "https://user:secret@proxy.example", "secret"])
def test_proxy_that_grpc_cannot_use_is_reported_as_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("http_proxy", value)
    ignored = " (http_proxy is ignored: a proxy must be http://host:port)"
    assert proxy.described("192.0.2.1:8080") == ignored
    assert not proxy.is_used("192.0.2.1:8080")
