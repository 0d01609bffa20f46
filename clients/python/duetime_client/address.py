"""The server's address: its notation, whether it is encrypted, and whether it is on this machine."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import socket

EXAMPLE = "127.0.0.1:8080"

_PORT = re.compile(r"(?:^[^:]+|\]|%5[dD]):(\d{1,5})$", re.ASCII)
_HOST_PORT = re.compile(r"(\[[^\[\]]+\]|[^\x00-\x20\x7f:/@?#\[\]]+)(?::(\d+))?", re.ASCII)
_UNIX = ("unix:", "unix-abstract:")
# Schemes that gRPC resolves itself.
_GRPC = ("dns:", "ipv4:", "ipv6:", *_UNIX)
_DEFAULT_PORTS = {"http": 80, "https": 443, "grpc": None, "grpcs": None}
_TLS = ("https", "grpcs")
_MAX_SHOWN = 100


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a client connects to, and how."""

    target: str
    """What gRPC connects to, such as `127.0.0.1:8080`."""
    is_encrypted: bool = False
    """Whether the connection is TLS."""


def parse(given: str, *, tls: bool | None = None) -> Address:
    """Returns the address that `given` means; `tls` decides for those without `http://` or a like scheme.

    Raises ValueError if it is not a server address, or contradicts `tls`.
    """
    given = given.strip()
    if given.startswith(_UNIX) and tls:
        raise ValueError(f"{_shown(given)} contradicts tls=True: a unix socket is not encrypted")
    if given.startswith(_GRPC):
        return Address(given, bool(tls))
    if "@" in given:  # checked first, because the other messages quote the address
        raise ValueError("the address must not contain a user name or password; write host:port")
    scheme, separator, rest = given.partition("://")
    if not separator:
        return Address(_host_port(given.removesuffix("/"), given, None), bool(tls))
    if (scheme := scheme.lower()) not in _DEFAULT_PORTS:
        raise _invalid(f"{_shown(given)}: unknown scheme")
    target = _host_port(rest.removesuffix("/"), given, _DEFAULT_PORTS[scheme])
    if tls is not None and tls is not (scheme in _TLS):
        right = f"{scheme}s://" if tls else f"{scheme.removesuffix('s')}://"
        raise ValueError(f"{_shown(given)} contradicts tls={tls}; write {right}, or leave out tls")
    return Address(target, scheme in _TLS)


def _host_port(text: str, given: str, default_port: int | None) -> str:
    if not text:
        raise _invalid("the address is empty")
    if text.count(":") > 1 and not text.startswith("["):
        raise ValueError(f"{_shown(given)}: write an IPv6 address in brackets, such as [::1]:8080")
    if re.search(r"[/?#]", text):
        raise _invalid(f"{_shown(given)}: the address must not have a path")
    if not (match := _HOST_PORT.fullmatch(text)):
        raise _invalid(f"{_shown(given)} is not an address")
    host, port = match[1], match[2] or default_port
    if host.startswith("[") and _ip(host[1:-1]) is None:
        raise ValueError(f"{_shown(given)}: the brackets do not contain an IPv6 address")
    if port is None:
        raise _invalid(f"{_shown(given)} has no port")
    if len(str(port)) > 5 or not 1 <= int(port) <= 65_535:
        raise ValueError(f"{_shown(given)}: the port must be from 1 to 65535")
    return f"{host}:{port}"


def _invalid(problem: str) -> ValueError:
    return ValueError(f"{problem}; write host:port, such as {EXAMPLE}")


def is_local(target: str) -> bool:
    """Whether an address's target is on this machine, judged by its text."""
    return target.startswith(_UNIX) or all(map(_is_loopback, hosts(target)))


def hosts(target: str) -> list[str]:
    """Returns the hosts in the target, without brackets and ports."""
    without_ports = [re.sub(r"(?<=[^:]):\d+$|(?<=\]):\d+$", "", each) for each in _hosts_and_ports(target)]
    return [re.sub(r"%5[bB]|%5[dD]|[\[\]]", "", each) for each in without_ports]


def port(target: str) -> int | None:
    """Returns the port of every address in the target; None if one has none or another, such as a unix socket."""
    found = {match and int(match[1]) for match in map(_PORT.search, _hosts_and_ports(target))}
    return found.pop() if len(found) == 1 and not target.startswith(_UNIX) else None


def _hosts_and_ports(target: str) -> list[str]:
    scheme, _, rest = target.partition(":") if target.startswith(_GRPC) else ("", "", target)
    return rest.split(",") if scheme in ("ipv4", "ipv6") else [rest.rpartition("/")[2]]


def may_have_several(target: str) -> bool:
    """Whether the target may stand for several IP addresses, such as a name does."""
    found = hosts(target)
    return not target.startswith(_UNIX) and (len(found) > 1 or _ip(found[0]) is None)


def _is_loopback(host: str) -> bool:
    name = host.lower().removesuffix(".")
    if name in ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback") or name.endswith(".localhost"):
        return True
    ip = _ip(name)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip is not None and (ip.is_loopback or ip.is_unspecified)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    try:  # other forms that the operating system accepts, such as 127.1
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except (OSError, UnicodeEncodeError):
        return None


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")
