"""Entries of DUETIME_EGRESS_ALLOW and DUETIME_EGRESS_DENY."""

import ipaddress
import os

import pytest

from duetime_worker import settings
from duetime_worker.egress.rule import Rule


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DUETIME_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("text", "network", "name", "port", "is_exact"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", "", None, False),
        ("10.0.0.0/8:9000", "10.0.0.0/8", "", 9000, False),
        ("127.0.0.1", "127.0.0.1/32", "", None, False),
        ("127.0.0.1:9000", "127.0.0.1/32", "", 9000, True),
        ("::1", "::1/128", "", None, False),
        ("[::1]", "::1/128", "", None, False),
        ("[::1]:9000", "::1/128", "", 9000, True),
        ("[fd00::/8]:9000", "fd00::/8", "", 9000, False),
        ("Hooks.Internal.", None, "hooks.internal", None, False),
        ("hooks.internal:9000", None, "hooks.internal", 9000, True),
        ("*.internal:9000", None, "*.internal", 9000, False),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8", "", None, False),
        ("[::ffff:10.0.0.1]:9000", "10.0.0.1/32", "", 9000, True),
        ("my_receiver", None, "my_receiver", None, False),
        ("bücher。example", None, "xn--bcher-kva.example", None, False),
    ],
)
def test_an_entry_is_a_network_or_a_name_optionally_with_a_port(
    text: str, network: str | None, name: str, port: int | None, is_exact: bool
) -> None:
    rule = Rule.parse(text)
    assert rule == Rule(None if network is None else ipaddress.ip_network(network), name, port)
    assert rule.is_exact == is_exact


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("10.1.2.3/8", "'10.1.2.3/8': it has host bits set; the network is 10.0.0.0/8"),
        ("10.0.0.0/33", "must be a network"),
        ("127.0.0.1:0", "the port must be between 1 and 65535"),
        ("127.0.0.1:65536", "the port must be between 1 and 65535"),
        ("127.0.0.1:http", "must be a network"),
        ("127.0.0.256", "must be a network"),
        ("0x7f.1", "must be a network"),
        ("http://127.0.0.1:9000", "must be a network"),
        ("*", "must be a network"),
        ("*.*.example", "must be a network"),
        ("hooks*.example", "must be a network"),
        ("-hooks.example", "must be a network"),
        ("a b", "must be a network"),
        ("[::1", "must be a network"),
        ("x" * 300, f"'{'x' * 60}…': it must be a network"),
    ],
)
@pytest.mark.parametrize("variable", ["ALLOW", "DENY"])
def test_an_invalid_entry_ends_the_worker_naming_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, entry: str, problem: str
) -> None:
    monkeypatch.setenv(f"DUETIME_EGRESS_{variable}", f"localhost, {entry}")
    with pytest.raises(SystemExit) as ended:
        settings.Egress.read()
    assert str(ended.value).startswith(f"DUETIME_EGRESS_{variable}: ")
    assert problem in str(ended.value)
    assert str(ended.value).count("\n") == 0


@pytest.mark.parametrize(
    "url", ["proxy", "proxy:3128", "socks5://user:secret@proxy", "http://", "http://user:secret@", "http://a:secret"]
)
def test_an_invalid_proxy_ends_the_worker_without_showing_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DUETIME_EGRESS_PROXY", url)
    with pytest.raises(SystemExit) as ended:
        settings.Egress.read()
    assert str(ended.value).startswith("DUETIME_EGRESS_PROXY: ")
    assert "must be the URL of an HTTP proxy, such as http://" in str(ended.value)
    assert "secret" not in str(ended.value)


def test_nothing_is_allowed_denied_or_proxied_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("DUETIME_EGRESS_ALLOW", "")
    read = settings.Egress.read()
    assert (read.allow, read.deny, read.proxy) == ([], [], None)
