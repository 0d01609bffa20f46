"""An address may try a few unknown keys a second, and callers of this machine do not lock each other out."""

import pytest

from duetime_core.model import errors
from duetime_server.access import attempts


@pytest.fixture(autouse=True)
def no_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refills nothing while the test runs."""
    monkeypatch.setattr(attempts, "PER_SECOND", 1e-6)


def test_an_address_and_an_ipv6_network_have_a_few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BURST", 10)
    limited = attempts.Attempts()
    for _ in range(10):
        limited.begin("192.0.2.7")
    with pytest.raises(errors.CallRateExceeded, match="Too many unknown API keys came from this address"):
        limited.begin("192.0.2.7")
    for number in range(10):
        limited.begin(f"2001:db8::{number}")
    with pytest.raises(errors.CallRateExceeded):
        limited.begin("2001:db8::ffff")
    limited.begin("192.0.2.8")
    limited.begin("2001:db8:0:1::1")


def test_a_key_that_is_known_is_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BURST", 1)
    limited = attempts.Attempts()
    for _ in range(20):
        limited.begin("192.0.2.7")
        limited.withdraw("192.0.2.7")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "unix", ""])
def test_callers_of_this_machine_and_unknown_ones_are_not_limited(address: str) -> None:
    limited = attempts.Attempts()
    for _ in range(10 * attempts.BURST):
        limited.begin(address)
