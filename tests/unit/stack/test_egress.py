"""The addresses that a stack denies to its workers."""

import os

import pytest

from duetime_stack import allowlist, egress
from duetime_worker import settings


@pytest.mark.parametrize(
    ("given", "address", "hosts", "denied"),
    [
        ("", "127.0.0.1", "", "127.0.0.1:8080"),
        ("10.0.0.0/8", "::1", "", "10.0.0.0/8,[::1]:8080"),
        ("", "0.0.0.0", "api.example", "0.0.0.0:8080,api.example:8080,api.example:443"),
        ("", "192.0.2.7", "[2001:db8::7]", "192.0.2.7:8080,[2001:db8::7]:8080,[2001:db8::7]:443"),
    ],
)
def test_workers_are_denied_the_address_and_hosts_of_the_edge(
    monkeypatch: pytest.MonkeyPatch, given: str, address: str, hosts: str, denied: str
) -> None:
    allowed = allowlist.parse((address,), hosts, "")
    variables = egress.environment({egress.VARIABLE: given}, address, 8080, allowed.hosts)
    assert variables == {egress.VARIABLE: denied}
    for name in [name for name in os.environ if name.startswith("DUETIME_EGRESS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(egress.VARIABLE, denied)
    assert len(settings.Egress.read().deny) == len(denied.split(","))
