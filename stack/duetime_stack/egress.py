"""What tasks may not make the workers call: the API, which trusts this machine."""

from collections.abc import Iterable, Mapping

from duetime_stack import edge

VARIABLE = "DUETIME_EGRESS_DENY"


def environment(given: Mapping[str, str], address: str, port: int, hosts: Iterable[str]) -> dict[str, str]:
    """Returns the workers' variable: what the user denies, where Envoy listens, and the hosts that it serves.

    Those may be reached through a proxy with TLS too.
    """
    listening = edge.url(address, port).removeprefix("http://")
    names = [host for host in hosts if host.strip("[]") != address]
    own = [listening, *(f"{host}:{each}" for host in names for each in (port, 443))]
    return {VARIABLE: ",".join(filter(None, [given.get(VARIABLE), *dict.fromkeys(own)]))}
