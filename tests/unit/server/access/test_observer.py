"""What is noted of each call before it is handled."""

import contextvars
from typing import Any

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
