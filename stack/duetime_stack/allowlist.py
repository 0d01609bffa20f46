"""Who may call: the names that a stack is served under, and the web pages that may call it."""

import dataclasses
import re
from collections.abc import Iterable

from duetime_stack import errors

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Served always."""

_HOST = re.compile(r"(?!.*\.\d+\Z)[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9])?|\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/:?#@\s\[\]*]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


@dataclasses.dataclass(frozen=True)
class Allowlist:
    """Which requests the edge lets through."""

    hosts: tuple[str, ...] = ()
    """Names and addresses in a request's `Host`, besides those of the loopback interface."""
    origins: tuple[str, ...] = ()
    """Origins of web pages that may call, besides the edge's own."""

    def served(self) -> list[str]:
        """Returns all that a request's `Host` may name, without a port."""
        return list(dict.fromkeys((*LOOPBACK_HOSTS, *self.hosts)))

    def own_origins(self, port: int) -> list[str]:
        """Returns the origins of pages that this edge itself serves on this port, or behind a proxy with TLS."""
        direct = [f"http://{host}" if port == 80 else f"http://{host}:{port}" for host in self.served()]
        return [*direct, *(f"https://{host}" for host in self.hosts)]


def parse(listening: Iterable[str], hosts: str, origins: str) -> Allowlist:
    """Returns what two settings, lists with commas, allow, besides the hosts that Envoy listens on.

    Raises StackError for what is no host or no origin.
    """
    named = [each.lower().rstrip(".") for each in _split(hosts)]
    for each in named:
        if not _HOST.fullmatch(each):
            raise errors.StackError(
                f"'{each[:100]}' is not a host (--hosts or DUETIME_HOSTS); write a name such as duetime.example.com"
                " or an address such as 192.0.2.7 or [2001:db8::7], without http:// and without a port"
            )
    allowed = [each.lower() for each in _split(origins)]
    for each in allowed:
        if not _ORIGIN.fullmatch(each):
            raise errors.StackError(
                f"'{each[:100]}' is not an origin (--origins or DUETIME_ORIGINS); write it as browsers do, such as"
                " https://app.example.com or http://localhost:3000, without a path"
            )
    own = [f"[{each.lower()}]" if ":" in each else each.lower() for each in listening]
    distinct = dict.fromkeys((*own, *named))
    return Allowlist(
        hosts=tuple(each for each in distinct if each not in LOOPBACK_HOSTS), origins=tuple(dict.fromkeys(allowed))
    )


def _split(value: str) -> Iterable[str]:
    return (each.strip() for each in value.split(",") if each.strip())
