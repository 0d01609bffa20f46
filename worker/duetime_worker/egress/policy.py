"""The egress policy: which destinations the built-in handlers may call."""

import dataclasses
import ipaddress
from collections.abc import Iterable, Sequence

from duetime_worker import handlers
from duetime_worker.egress import address as addresses
from duetime_worker.egress.rule import Destination, Rule, host_name, is_localhost

# Metadata services, which hand out credentials, and link-local addresses: only an exact entry allows them.
_GUARDED = tuple(
    Rule.parse(network)
    for network in (
        "169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254",
        "100.100.100.200", "192.0.0.192", "168.63.129.16",
    )
)  # fmt: skip


class Refused(handlers.Fail):
    """The policy forbids the destination. A retry would not change that."""


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """Permits the public internet at ports 80, 443 and 1024 to 65535, plus `allow`, minus `deny`.

    An entry of `allow` without a port means those ports, an entry of `deny` without one all ports. `deny` takes
    precedence, except over an entry of `allow` with exactly that host and port.
    """

    allow: Sequence[Rule] = ()
    deny: Sequence[Rule] = ()

    def check(self, host: str, port: int, found: Iterable[addresses.Address]) -> None:
        """Raises Refused if one of the addresses of `host` may not be called at this port."""
        name = host_name(host)
        for address in found:
            for each in addresses.with_embedded(address):
                self._check(Destination(name, each, port))

    def check_unresolved(self, host: str, port: int) -> None:
        """Raises Refused if the destination may not be called, judged before a proxy resolves the host."""
        name = host_name(host)
        if name is None:
            self.check(host, port, _read(host, port))
        elif is_localhost(name):
            self._check(Destination(name, ipaddress.IPv4Address("127.0.0.1"), port))
        else:
            self._check(Destination(name, None, port))

    def _check(self, to: Destination) -> None:
        if to.address and addresses.is_never_called(to.address):
            raise _refused(to, "its address does not name a single host, so DUETIME_EGRESS_ALLOW cannot allow it")
        if self._hits(self.deny, to):
            problem = "DUETIME_EGRESS_DENY denies it (`duetime up` adds its own address there)"
            raise _refused(to, f"{problem}; {_exactly(to)}")
        kind = addresses.why_not_public(to.address) if to.address else None
        problem = _port_problem(to) if kind is None else _address_problem(to, kind)
        if self._hits(_GUARDED, to):
            raise _refused(to, f"{problem}; {_exactly(to)}")
        if (kind is not None or not _is_usual(to.port)) and not self._allows(to):
            raise _refused(
                to, f"{problem}; to allow it, set DUETIME_EGRESS_ALLOW={_shown(to)} in the worker's environment"
            )

    def _hits(self, rules: Iterable[Rule], to: Destination) -> bool:
        """Returns whether a rule covers this destination, and no exact entry of `allow` is an exception to it."""
        exceptions = [rule for rule in self.allow if rule.is_exact and rule.port == to.port and rule.covers_host(to)]
        # The owner of a name chooses its addresses, so allowing a name does not allow a denied address.
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
        raise Refused(
            f"the worker may not call {addresses.show(host, port)}: the host is not a valid address"
        ) from None


def _is_usual(port: int) -> bool:
    return port in (80, 443) or port >= 1024


def _shown(to: Destination) -> str:
    # Not the address of a name: callers would learn the addresses of internal names.
    return addresses.show(to.name or str(to.address), to.port)


def _address_problem(to: Destination, kind: str) -> str:
    return f"it is {kind}" if to.name is None else "it has an address that is not public"


def _port_problem(to: Destination) -> str:
    return f"port {to.port} is not 80, 443 or 1024 to 65535"


def _exactly(to: Destination) -> str:
    if to.name is None:
        return f"to allow it, set DUETIME_EGRESS_ALLOW={_shown(to)}, with the port, in the worker's environment"
    return "only an entry of DUETIME_EGRESS_ALLOW with exactly the denied name or address and the port allows it"


def _refused(to: Destination, problem: str) -> Refused:
    return Refused(f"the worker may not call {_shown(to)}: {problem}")
