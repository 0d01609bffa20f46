"""The address of a caller is that of its connection, or the one in the edge's header on a connection of the edge."""

import ipaddress
from typing import Any

import pytest

from duetime_server.access import peers

FORGED = "203.0.113.9"
EDGES = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("2001:db8::/32")]


class Context:
    """A call by a connection, with metadata."""

    def __init__(self, peer: str, *values: str | bytes) -> None:
        self._peer = peer
        self._values = values

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return (("x-forwarded-for", FORGED), *((peers.HEADER, value) for value in self._values), ("forwarded", FORGED))


def address(peer: str, *values: str | bytes) -> str:
    context: Any = Context(peer, *values)
    return peers.Peers(EDGES).address(context)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:127.0.0.1:1234", "127.0.0.1"),
        ("ipv4:192.0.2.1:1", "192.0.2.1"),
        ("ipv6:%5B::1%5D:1234", "::1"),
        ("ipv6:[2001:DB9::1]:1234", "2001:db9::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1234", "fe80::1%eth0"),
        ("ipv6:%5B::ffff:192.0.2.1%5D:1234", "192.0.2.1"),
    ],
)
def test_the_header_of_a_caller_who_is_no_edge_does_not_count(peer: str, expected: str) -> None:
    for values in ((), (FORGED,), (FORGED, FORGED)):
        assert address(peer, *values) == expected


@pytest.mark.parametrize("peer", ["unix:", "unix:/run/d.sock", "ipv4:10.1.2.3:1", "ipv6:%5B2001:db8::1%5D:1"])
def test_the_header_counts_on_a_unix_socket_and_from_an_edge(peer: str) -> None:
    assert address(peer, "192.0.2.7") == "192.0.2.7"
    assert address(peer, "2001:DB8:0::7") == "2001:db8::7"
    assert address(peer, "::ffff:192.0.2.7") == "192.0.2.7"


@pytest.mark.parametrize(
    "value", ["", "@", "/run/edge.sock", "192.0.2.1:80", "192.0.2.1, 192.0.2.2", "x" * 9_999, b"x"]
)
def test_a_caller_of_the_edge_without_an_ip_address_is_at_a_unix_socket(value: str | bytes) -> None:
    assert address("unix:", value) == "unix"


def test_without_the_header_or_with_several_the_connection_counts() -> None:
    for values in ((), ("192.0.2.7", "192.0.2.8")):
        assert address("unix:", *values) == "unix"
        assert address("ipv4:10.1.2.3:1", *values) == "10.1.2.3"


@pytest.mark.parametrize(
    "peer",
    [
        "",
        "unknown",
        "unix",
        "unix-abstract:d",
        "vsock:2:1",
        "ipv4:",
        "ipv4:10.1.2:1",
        "ipv6:%5B2001:db8::x%5D:1",
        "10.1.2.3:1",
    ],
)
def test_the_header_of_a_connection_whose_address_is_unknown_does_not_count(peer: str) -> None:
    for values in ((), (FORGED,)):
        assert address(peer, *values) == ""


def test_the_header_counts_before_the_connection_is_known_only_where_all_are_by_a_unix_socket() -> None:
    def announced(*values: str, is_at_socket: bool) -> str:
        return peers.Peers(EDGES, is_at_socket=is_at_socket).announced([(peers.HEADER, value) for value in values])

    for values in ((), (FORGED,), (FORGED, FORGED)):
        assert announced(*values, is_at_socket=False) == ""
    assert announced("::ffff:192.0.2.7", is_at_socket=True) == "192.0.2.7"
    for values in ((), ("",), (FORGED, FORGED)):
        assert announced(*values, is_at_socket=True) == "unix"
