import contextvars

from duetime_core.model.access import Principal, Role
from duetime_server import access

KEY = Principal("key:3mJr7AoUXx2W", Role.EDITOR)


def test_without_authentication_there_is_no_principal_and_the_actor_is_api() -> None:
    assert access.current() is None
    assert access.actor() == "api"


def test_the_principal_of_a_call_is_its_actor_and_of_no_other_call() -> None:
    def call() -> tuple[Principal | None, str]:
        access.principal.set(KEY)
        return access.current(), access.actor()

    assert contextvars.copy_context().run(call) == (KEY, "key:3mJr7AoUXx2W")
    assert access.current() is None
