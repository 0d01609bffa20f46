"""Writing API keys as protobuf."""

import datetime

import pytest

from duetime.v1 import key_pb2
from duetime_core.model import access, api_key
from duetime_server.api_keys import messages

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def key(role: access.Role, **fields: object) -> api_key.ApiKey:
    grant = api_key.Grant("ci", role, True, frozenset({"b", "a"}), None)
    values = {
        "key_id": "a" * 12,
        "number": 1,
        "grant": grant,
        "actor": "key:first",
        "created_by": "api",
        "created_at": NOW,
        "expires_at": None,
        "revoked_at": None,
        "replaced_by": None,
        "last_used_at": None,
        "last_used_from": None,
        "is_in_force": True,
        "namespace_id": 1,
    }
    return api_key.ApiKey(**(values | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize("role", list(access.Role))
def test_a_key_has_its_role_by_the_same_name(role: access.Role) -> None:
    written = messages.from_key(key(role))
    assert key_pb2.ApiKey.Role.Name(written.role) == role
    assert (list(written.handlers), list(written.queues)) == (["a", "b"], [])
    assert (written.actor, written.in_force, written.may_read_payloads) == ("key:first", True, True)


def test_times_that_did_not_come_are_unset() -> None:
    written = messages.from_key(key(access.Role.VIEWER))
    for field in ("expires_at", "revoked_at", "last_used_at"):
        assert not written.HasField(field)
    assert (written.replaced_by, written.last_used_from) == ("", "")
    used = messages.from_key(key(access.Role.VIEWER, expires_at=NOW, revoked_at=NOW, last_used_at=NOW))
    assert used.expires_at == used.revoked_at == used.last_used_at == used.created_at
