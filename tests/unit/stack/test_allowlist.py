"""The settings of hosts and origins that the edge accepts."""

import pytest

from duetime_stack import allowlist, errors


def test_loopback_and_listening_addresses_are_always_accepted() -> None:
    allowed = allowlist.parse(["127.0.0.1", "127.0.0.1"], "", "")
    assert allowed == allowlist.Allowlist()
    assert allowed.served() == ["127.0.0.1", "localhost", "[::1]"]
    assert allowlist.parse(["Box", "fd00::1"], "", "").served()[3:] == ["box", "[fd00::1]"]


def test_host_names_are_normalized() -> None:
    allowed = allowlist.parse(
        ["localhost"], " Duetime.Example.com., ,10.0.0.7,[2001:DB8::7],my_box,xn--bcher-kva.example", ""
    )
    assert allowed.hosts == ("duetime.example.com", "10.0.0.7", "[2001:db8::7]", "my_box", "xn--bcher-kva.example")


def test_own_origins_contain_the_port_unless_it_is_the_default() -> None:
    allowed = allowlist.parse(["127.0.0.1"], "a.example", "")
    assert allowed.own_origins(9090)[-2:] == ["http://a.example:9090", "https://a.example"]
    assert allowed.own_origins(80)[0] == "http://127.0.0.1"


@pytest.mark.parametrize(
    "host",
    [
        "*",
        "*.example.com",
        "http://a.example",
        "a.example:80",
        "a.example/x",
        "2001:db8::7",
        "[::1]:80",
        "a b",
        "bücher.example",
    ],
)
def test_an_invalid_host_is_refused(host: str) -> None:
    with pytest.raises(errors.StackError, match=r"is not a valid host .*DUETIME_HOSTS"):
        allowlist.parse(["127.0.0.1"], f"good.example,{host}", "")


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "app.example.com", "https://app.example.com/", "https://*.example.com", "https://a b", "http://"],
)
def test_an_invalid_origin_is_refused(origin: str) -> None:
    with pytest.raises(errors.StackError, match=r"is not a valid origin .*DUETIME_ORIGINS"):
        allowlist.parse(["127.0.0.1"], "", f"https://good.example,{origin}")
