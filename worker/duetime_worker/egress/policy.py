"""Which destinations a worker connects to on a caller's word."""

import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence

from duetime_worker import handlers
from duetime_worker.egress import address as addresses
from duetime_worker.egress.rule import Destination, Rule, host_name, is_localhost

# What hands out credentials, or is of one link: no network and no name that is allowed opens it.
_GUARDED = tuple(
    Rule.parse(network)
    for network in (
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254",
        "100.100.100.200", "192.0.0.192", "168.63.129.16",
    )
)  # fmt: skip


class Refused(handlers.Fail):
    """The worker does not connect there. No retry changes that."""


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What may be called: the public internet, at ports 80, 443 and from 1024 on, and what is allowed besides.

    An entry of `allow` without a port means those ports, one of `deny` all ports. What is denied is refused although
    it is public or allowed, unless `allow` has that host with its port.
    """

    allow: Sequence[Rule] = ()
    deny: Sequence[Rule] = ()

    def check(self, host: str, port: int, found: Iterable[addresses.Address]) -> None:
        """Raises Refused if one of the addresses that were found for `host` may not be called at this port."""
        name = host_name(host)
        for address in found:
            for face in addresses.faces(address):
                self._check(Destination(name, face, port))

    def check_unresolved(self, host: str, port: int) -> None:
        """Raises Refused for what may not be called, as far as that shows before a proxy resolves the host."""
        name = host_name(host)
        if name is None:
            self.check(host, port, _read(host, port))
        elif is_localhost(name):
            self._check(Destination(name, ipaddress.IPv4Address("127.0.0.1"), port))
        else:
            self._check(Destination(name, None, port))

    def _check(self, to: Destination) -> None:
        if to.address and addresses.is_never_called(to.address):
            raise _refused(to, "no host can be called at it, whatever DUETIME_EGRESS_ALLOW says")
        if self._hits(self.deny, to):
            problem = "it is denied by DUETIME_EGRESS_DENY, to which duetime up adds its own address"
            raise _refused(to, f"{problem}; {_exactly(to)}")
        kind = addresses.why_not_public(to.address) if to.address else None
        problem = _port_problem(to) if kind is None else _address_problem(to, kind)
        if self._hits(_GUARDED, to):
            raise _refused(to, f"{problem}; {_exactly(to)}")
        if (kind is not None or not _is_usual(to.port)) and not self._allows(to):
            raise _refused(to, f"{problem}; DUETIME_EGRESS_ALLOW={_shown(to)} in the worker's environment allows it")

    def _hits(self, rules: Iterable[Rule], to: Destination) -> bool:
        """Tells whether one of the rules is about this destination, and no exact entry is an exception to it."""
        exceptions = [rule for rule in self.allow if rule.is_exact and rule.port == to.port and rule.covers_host(to)]
        # A name's owner says which addresses it has: that a name is allowed does not allow an address that is denied.
        return any(
            rule.port in (None, to.port)
            and rule.covers_host(to)
            and all((each.network is None) != (rule.network is None) for each in exceptions)
            for rule in rules
        )

    def _allows(self, to: Destination) -> bool:
        return any(
            (_is_usual(to.port) if rule.port is None else rule.port == to.port) and rule.covers_host(to)
            for rule in self.allow
        )


def _read(host: str, port: int) -> Sequence[addresses.Address]:
    try:
        return addresses.literal(host)
    except OSError:
        raise Refused(f"the worker does not connect to {addresses.show(host, port)}: it is no address") from None


def _is_usual(port: int) -> bool:
    return port in (80, 443) or port >= 1024


def _shown(to: Destination) -> str:
    # Not the address of a name: callers would learn what names of the house lead to.
    return addresses.show(to.name or str(to.address), to.port)


def _address_problem(to: Destination, kind: str) -> str:
    return f"it is {kind}" if to.name is None else "it has an address that is not public"


def _port_problem(to: Destination) -> str:
    return f"port {to.port} is none of 80, 443 and those from 1024 on"


def _exactly(to: Destination) -> str:
    if to.name is None:
        return f"only DUETIME_EGRESS_ALLOW={_shown(to)}, with the port, in the worker's environment allows it"
    return "only an entry in DUETIME_EGRESS_ALLOW that is exactly the name or address denied, with the port, allows it"


def _refused(to: Destination, problem: str) -> Refused:
    return Refused(f"the worker does not connect to {_shown(to)}: {problem}")
