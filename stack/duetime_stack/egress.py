"""The addresses that workers must not call for a task: those of the API, which trusts this machine."""

from collections.abc import Iterable, Mapping

from duetime_stack import edge

VARIABLE = "DUETIME_EGRESS_DENY"


def environment(given: Mapping[str, str], address: str, port: int, hosts: Iterable[str]) -> dict[str, str]:
    """Returns the workers' variable: the user's denied addresses, Envoy's own, and those of the allowed hosts.

    The hosts are denied on port 443 too, where a TLS proxy may serve them.
    """
    listening = edge.authority(address, port)
    names = [host for host in hosts if host.strip("[]") != address]
    own = [listening, *(f"{host}:{each}" for host in names for each in (port, 443))]
    return {VARIABLE: ",".join(filter(None, [given.get(VARIABLE), *dict.fromkeys(own)]))}
