"""IP addresses, and why one is not public."""

import ipaddress
import socket
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# From IANA's registries of special-purpose addresses. `ipaddress.is_global` differs between patch releases of Python,
# and is True for some of these.
_SPECIAL_V4 = {
    ipaddress.IPv4Network(network): kind
    for network, kind in {
        "0.0.0.0/8": "an unspecified address",
        "10.0.0.0/8": "a private address",
        "100.64.0.0/10": "a carrier-grade NAT address",
        "127.0.0.0/8": "a loopback address",
        "168.63.129.16/32": "a cloud metadata address",
        "169.254.0.0/16": "a link-local address",
        "172.16.0.0/12": "a private address",
        "192.0.0.0/24": "a reserved address",
        "192.0.2.0/24": "a documentation address",
        "192.88.99.0/24": "a reserved address",
        "192.168.0.0/16": "a private address",
        "198.18.0.0/15": "a benchmark address",
        "198.51.100.0/24": "a documentation address",
        "203.0.113.0/24": "a documentation address",
        "224.0.0.0/4": "a multicast address",
        "240.0.0.0/4": "a reserved address",
    }.items()
}
_SPECIAL_V6 = {
    ipaddress.IPv6Network(network): kind
    for network, kind in {
        "::/128": "an unspecified address",
        "::1/128": "a loopback address",
        "2001:db8::/32": "a documentation address",
        "3fff::/20": "a documentation address",
        "fc00::/7": "a private address",
        "fe80::/10": "a link-local address",
        "fec0::/10": "a site-local address",
        "ff00::/8": "a multicast address",
    }.items()
}
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_PROTOCOLS = ipaddress.IPv6Network("2001::/23")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_6TO4 = ipaddress.IPv6Network("2002::/16")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_WITH_IPV4_AT_THE_END = (
    _NAT64,
    ipaddress.IPv6Network("64:ff9b:1::/48"),  # NAT64 within a network
    ipaddress.IPv6Network("::/96"),  # IPv4-compatible
    ipaddress.IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated
)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


def with_embedded(address: Address) -> Iterator[Address]:
    """Yields the address and the IPv4 addresses embedded in it, to which a translator or tunnel may deliver."""
    if address.version == 4:
        yield address
        return
    if address.ipv4_mapped is not None:  # another notation of the same address
        yield address.ipv4_mapped
        return
    yield address
    low, first = int(address) & 0xFFFF_FFFF, int(address) >> 80 & 0xFFFF_FFFF
    if address in _TEREDO:
        yield ipaddress.IPv4Address(int(address) >> 64 & 0xFFFF_FFFF)  # the server
        yield ipaddress.IPv4Address(low ^ 0xFFFF_FFFF)
    elif address in _6TO4:
        yield ipaddress.IPv4Address(first)
    elif not address.is_loopback and any(address in network for network in _WITH_IPV4_AT_THE_END):
        yield ipaddress.IPv4Address(low)
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        yield ipaddress.IPv4Address(low)


def why_not_public(address: Address) -> str | None:
    """Returns the kind of an address that is not public, such as "a private address"; None for a public one.

    Addresses embedded in it are not considered.
    """
    if address.version == 4:
        return next((kind for network, kind in _SPECIAL_V4.items() if address in network), None)
    for network, kind in _SPECIAL_V6.items():
        if address in network:
            return kind
    if address in _NAT64:
        return None
    if address not in _GLOBAL_UNICAST or (address in _PROTOCOLS and address not in _TEREDO):
        return "a reserved address"
    return None


def is_never_called(address: Address) -> bool:
    """Returns whether no setting can allow the address: it names no single host, or depends on the worker's links."""
    has_zone = address.version == 6 and address.scope_id is not None
    return has_zone or address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255"


def literal(host: str) -> list[Address]:
    """Parses a host that is an address in any notation that resolvers accept; raises OSError if it is none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [ipaddress.ip_address(socket_address[0]) for *_, socket_address in found]


def show(host: str, port: int) -> str:
    """Returns host and port as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
