"""What is noted of each call before it is handled."""

import contextvars
from typing import Any

import pytest

from duetime_core.model import audit, errors
from duetime_core.model.access import Principal, Role
from duetime_server import access
from duetime_server.access import observer, peers
from tests.support import principals

KEY = Principal("key:3mJr7AoUXx2W", Role.EDITOR, key_id="3mJr7AoUXx2W")


class Context:
    """A call through an edge at this machine."""

    def peer(self) -> str:
        return "unix:"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ((peers.HEADER, "192.0.2.7"),)


def test_the_address_of_a_call_is_that_of_its_key_s_last_use() -> None:
    used: list[tuple[Principal, str]] = []
    tokens, context = principals.Tokens(), Context()
    tokens.came_from = lambda *use: used.append(use)  # type: ignore[method-assign]

    def call(caller: Principal | None) -> str:
        arriving: Any = context
        access.principal.set(caller)
        observer.Observer(peers.Peers(), tokens).arrived(arriving)
        return access.address()

    for caller in (KEY, None):
        assert contextvars.copy_context().run(call, caller) == "192.0.2.7"
    assert used == [(KEY, "192.0.2.7")]
    assert access.address() == ""


@pytest.mark.parametrize(
    ("addresses", "counted"),
    [
        (["127.0.0.1", "127.0.0.2", "127.255.255.254"], "127.0.0.1"),
        (["::1"], "::1"),
        (["2001:db8::1", "2001:db8::2"], "2001:db8::/64"),
        (["fe80::1%eth0", "fe80::2"], "fe80::/64"),
        (["192.0.2.7"], "192.0.2.7"),
        (["unix"], "unix"),
        ([""], None),
    ],
)
def test_refusals_are_counted_by_an_address_that_the_caller_cannot_vary(
    addresses: list[str], counted: str | None
) -> None:
    found: list[audit.Refusal] = []

    class Counting:
        def add(self, refusal: audit.Refusal, method: str) -> None:
            assert method == "GetTask"
            found.append(refusal)

    counting: Any = Counting()
    for address in addresses:
        context = contextvars.copy_context()
        context.run(access.origin.set, address)
        observing = observer.Observer(peers.Peers(), refused=counting)
        context.run(observing.failed, "/duetime.v1.TaskService/GetTask", errors.CredentialsInvalid())
    assert {refusal.address for refusal in found} == {counted}
    assert len(found) == len(addresses)
