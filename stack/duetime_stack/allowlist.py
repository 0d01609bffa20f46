"""The host names and the origins of web pages that the edge accepts."""

import dataclasses
import re
from collections.abc import Iterable

from duetime_stack import errors

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Always accepted."""

_HOST = re.compile(r"(?!.*\.\d+\Z)[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9])?|\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/:?#@\s\[\]*]+|\[[0-9a-f:.]+\])(:\d{1,5})?")


@dataclasses.dataclass(frozen=True)
class Allowlist:
    """The hosts and origins that the edge accepts."""

    hosts: tuple[str, ...] = ()
    """Names and addresses accepted in `Host`, besides those of the loopback interface."""
    origins: tuple[str, ...] = ()
    """Accepted origins of web pages, besides the edge's own."""

    def served(self) -> list[str]:
        """Returns every accepted value of `Host`, without its port."""
        return list(dict.fromkeys((*LOOPBACK_HOSTS, *self.hosts)))

    def own_origins(self, port: int, *, is_encrypted: bool = False) -> list[str]:
        """Returns the edge's own origins: on this port, and behind a TLS proxy."""
        scheme, default = ("https", 443) if is_encrypted else ("http", 80)
        direct = [f"{scheme}://{host}" if port == default else f"{scheme}://{host}:{port}" for host in self.served()]
        return list(dict.fromkeys([*direct, *(f"https://{host}" for host in self.hosts)]))


def parse(listening: Iterable[str], hosts: str, origins: str) -> Allowlist:
    """Returns the allowlist of two comma-separated settings and the hosts that Envoy listens on.

    Raises StackError for an invalid host or origin.
    """
    named = [each.lower().rstrip(".") for each in _split(hosts)]
    for each in named:
        if not _HOST.fullmatch(each):
            raise errors.StackError(
                f"'{each[:100]}' is not a valid host (--hosts or DUETIME_HOSTS); use a name such as duetime.example.com"
                " or an address such as 192.0.2.7 or [2001:db8::7], without a scheme or port"
            )
    allowed = [each.lower() for each in _split(origins)]
    for each in allowed:
        if not _ORIGIN.fullmatch(each):
            raise errors.StackError(
                f"'{each[:100]}' is not a valid origin (--origins or DUETIME_ORIGINS); use a scheme and host such as"
                " https://app.example.com or http://localhost:3000, without a path"
            )
    own = [f"[{each.lower()}]" if ":" in each else each.lower() for each in listening]
    distinct = dict.fromkeys((*own, *named))
    return Allowlist(
        hosts=tuple(each for each in distinct if each not in LOOPBACK_HOSTS), origins=tuple(dict.fromkeys(allowed))
    )


def _split(value: str) -> Iterable[str]:
    return (each.strip() for each in value.split(",") if each.strip())
