"""An entry of DUETIME_EGRESS_ALLOW or DUETIME_EGRESS_DENY."""

import dataclasses
import ipaddress
import re
import socket
from typing import Self

import httpx

from duetime_worker.egress.address import Address

_NAME = re.compile(r"(?:\*\.)?[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?")
_WITH_PORT = re.compile(r"(?P<host>\[[^\[\]]+\]|[^\[\]:]+):(?P<port>[0-9]{1,5})", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_MAX_SHOWN = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Destination:
    """The host and port of a call."""

    name: str | None
    """The host name as `host_name` returns it; None for a host given by its address."""
    address: Address | None
    """One of its addresses; None if a proxy will resolve them."""
    port: int


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """The destinations that an entry covers."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    """0.0.0.0 and :: mean every address of this machine, as they do for a listening socket."""
    name: str
    """A host name, or `*.example.com` for all names below it; empty for a network."""
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses an entry; raises ValueError, with the entry and what would be right."""
        match = _WITH_PORT.fullmatch(text)
        host, port = (match["host"], int(match["port"])) if match else (text, None)
        if port is not None and not 1 <= port <= 65535:
            raise _wrong(text, "the port must be between 1 and 65535")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            return cls(_without_mapping(ipaddress.ip_network(bare)), "", port)
        except ValueError as error:
            if "host bits" in str(error):
                meant = ipaddress.ip_network(bare, strict=False)
                raise _wrong(text, f"it has host bits set; the network is {meant}") from None
        name = host_name(host)
        if name is None or not _NAME.fullmatch(name):
            raise _wrong(
                text,
                "it must be a network (10.0.0.0/8), an address (10.1.2.3, ::1), a host name (hooks.internal) or a "
                "pattern (*.hooks.internal), optionally with a port (10.1.2.3:9000, [::1]:9000), not a URL",
            )
        return cls(None, name, port)

    @property
    def is_exact(self) -> bool:
        """Whether it names exactly one host and one port."""
        is_one = self.network.num_addresses == 1 if self.network else not self.name.startswith("*")
        return is_one and self.port is not None

    def covers_host(self, destination: Destination) -> bool:
        """Returns whether it covers the destination's host, whatever the port."""
        if self.network is None:
            name = destination.name
            return name is not None and (name.endswith(self.name[1:]) if self.name[0] == "*" else name == self.name)
        if destination.address is None:
            return False
        if self.network.num_addresses == 1 and self.network.network_address.is_unspecified:
            return _is_of_this_machine(destination.address)
        return destination.address in self.network


def host_name(host: str) -> str | None:
    """Returns a host name in ASCII and lower case; None for an address in any notation, and for an invalid name."""
    name = host.lower().rstrip(".")
    if not name.isascii():
        try:
            name = httpx.URL(scheme="http", host=name).raw_host.decode()  # as httpx calls it
        except httpx.InvalidURL:
            return None
    is_address = ":" in name or _NUMBER.fullmatch(name.rpartition(".")[2])
    return None if is_address else name or None


def _without_mapping(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if network.version == 4 or network.network_address.ipv4_mapped is None:
        return network
    # IPv4 addresses are compared as IPv4.
    return ipaddress.IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))


def is_localhost(name: str | None) -> bool:
    """Returns whether the name means this machine whatever resolvers answer (RFC 6761, 6.3)."""
    return name is not None and (name == "localhost" or name.endswith(".localhost"))


def _is_of_this_machine(address: Address) -> bool:
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


def _wrong(text: str, problem: str) -> ValueError:
    shown = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
    return ValueError(f"{shown!r}: {problem}")
