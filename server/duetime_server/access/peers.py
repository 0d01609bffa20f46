"""The address of a caller: the connection's or, if that is the edge's, the one that the edge's header has.

The edge replaces the header in every request. Anyone else could send it, so it counts on two kinds of connections: by a
unix socket, which only the server's own user can reach, and from the addresses that the settings name. Headers that
proxies before the edge add, such as x-forwarded-for, never count.
"""

import functools
import ipaddress
import urllib.parse
from collections.abc import Collection, Iterable

from duetime_server.rpc import errors as rpc_errors

HEADER = "x-duetime-peer"
UNIX = "unix"
"""The address of a caller on this machine that is connected by a unix socket."""
UNIX_PREFIX = "unix:"
"""What gRPC's address of such a connection, or of a server at such a socket, begins with."""
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
"""By the version, how callers on this machine are counted, who may choose any of 127.0.0.0/8."""
_IPV6_NETWORK_BITS = 64
"""What one subscriber has, who could otherwise fill a count with addresses."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Metadata = Iterable[tuple[str, str | bytes]]


class Peers:
    """Knows the callers' addresses. `edges` are the networks from which only edges connect.

    With `is_at_socket` the server listens at a unix socket alone.
    """

    def __init__(self, edges: Collection[Network] = (), *, is_at_socket: bool = False) -> None:
        self._edges = edges
        self._is_at_socket = is_at_socket

    def announced(self, metadata: Metadata) -> str:
        """Returns the address of a call whose connection is not known yet.

        It is empty unless all connections are by a unix socket: only then is it certain that the header counts.
        """
        return _of_edge(metadata) or UNIX if self._is_at_socket else ""

    def address(self, context: rpc_errors.Context) -> str:
        """Returns the address of the call's caller, without a port; an empty one if its connection's is unknown."""
        peer = context.peer()
        connected = _connected(peer)
        if connected is None and not peer.startswith(UNIX_PREFIX):
            return ""
        if connected is not None and not any(connected in edge for edge in self._edges):
            return str(connected)
        # Without the header it was called without the edge.
        return _of_edge(context.invocation_metadata() or ()) or (UNIX if connected is None else str(connected))


def counted(address: str) -> str | None:
    """Returns the address as calls are counted by it: that of an IPv6 network, and one of all loopback ones."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address or None  # of a unix socket
    if parsed.is_loopback:
        return LOOPBACK[parsed.version]
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))


def _of_edge(metadata: Metadata) -> str:
    """Returns the address in the edge's header, which is empty unless there is one."""
    given = [value for name, value in metadata if name == HEADER]
    if len(given) != 1:
        return ""
    # What is no address is a unix socket of the edge's.
    return _written(given[0]) if isinstance(given[0], str) else UNIX


def _connected(peer: str) -> Address | None:
    """Returns the address in gRPC's `ipv4:127.0.0.1:1234` or `ipv6:%5B::1%5D:1234`, or None for any other."""
    return _of_host(peer.rpartition(":")[0])


@functools.lru_cache(maxsize=1_000)
def _of_host(peer: str) -> Address | None:
    kind, _, host = peer.partition(":")
    return _parse(urllib.parse.unquote(host).strip("[]")) if kind in ("ipv4", "ipv6") else None


@functools.lru_cache(maxsize=1_000)
def _written(text: str) -> str:
    parsed = _parse(text)
    return UNIX if parsed is None else str(parsed)


def _parse(text: str) -> Address | None:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket that takes both kinds shows IPv4 as ::ffff:192.0.2.1.
    return getattr(parsed, "ipv4_mapped", None) or parsed
