"""KeyService, called without gRPC."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import duration_pb2

from duetime.v1 import key_pb2, key_service_pb2
from duetime_core.model import api_key, errors
from duetime_core.model.access import Principal, Role
from duetime_server import access
from duetime_server.services import keys

CONTEXT: Any = None
ADMIN = Principal("key:admin", Role.ADMIN, may_read_payloads=True)
LIMITED = Principal("key:few", Role.ADMIN, may_read_payloads=True, queues=frozenset({"mail"}))


@pytest.fixture(params=[None, ADMIN], ids=["open", "admin"])
def caller(request: pytest.FixtureRequest) -> Iterator[Principal | None]:
    """Who calls: anyone of a server that does not require authentication, or an admin."""
    token = access.principal.set(request.param)
    yield request.param
    access.principal.reset(token)


def creation(**fields: Any) -> key_service_pb2.CreateKeyRequest:
    return key_service_pb2.CreateKeyRequest(**{"name": "ci", "role": key_pb2.ApiKey.Role.editor, **fields})


async def test_a_key_is_created_read_rotated_and_revoked(
    key_service: keys.KeyService, caller: Principal | None
) -> None:
    created = await key_service.CreateKey(creation(handlers=["Greet"]), CONTEXT)
    key_id = created.key.key_id
    token = api_key.Token.parse(created.api_key)
    assert token.key_id == key_id
    assert created.key.created_by == ("key:admin" if caller else "api")
    got = await key_service.GetKey(key_service_pb2.GetKeyRequest(key_id=key_id), CONTEXT)
    assert got == created.key
    rotated = await key_service.RotateKey(key_service_pb2.RotateKeyRequest(key_id=key_id), CONTEXT)
    assert rotated.replaced.replaced_by == rotated.key.key_id != key_id
    assert (rotated.key.actor, list(rotated.key.handlers)) == (created.key.actor, ["Greet"])
    assert api_key.Token.parse(rotated.api_key).key_id == rotated.key.key_id
    revoked = await key_service.RevokeKey(key_service_pb2.RevokeKeyRequest(key_id=key_id), CONTEXT)
    assert not revoked.in_force
    assert token.secret not in f"{got}{rotated}{revoked}"


@pytest.mark.usefixtures("caller")
async def test_keys_are_listed_a_page_at_a_time(key_service: keys.KeyService) -> None:
    ids = [(await key_service.CreateKey(creation(), CONTEXT)).key.key_id for _ in range(5)]
    await key_service.RotateKey(
        key_service_pb2.RotateKeyRequest(key_id=ids[0], overlap=duration_pb2.Duration()), CONTEXT
    )
    for show_ended, count in ((False, 5), (True, 6)):
        listed: list[str] = []
        token = ""
        while not listed or token:
            request = key_service_pb2.ListKeysRequest(page_size=2, page_token=token, show_ended=show_ended)
            page = await key_service.ListKeys(request, CONTEXT)
            listed += [each.key_id for each in page.keys]
            token = page.next_page_token
        assert len(listed) == count
        assert listed[:-1] == (ids if show_ended else ids[1:])
    page = await key_service.ListKeys(key_service_pb2.ListKeysRequest(page_size=2), CONTEXT)
    other = key_service_pb2.ListKeysRequest(page_token=page.next_page_token, show_ended=True)
    with pytest.raises(errors.InvalidArgument, match="page_token: belongs to another request"):
        await key_service.ListKeys(other, CONTEXT)


async def test_the_limits_of_a_caller_hold_for_the_keys_that_it_makes(key_service: keys.KeyService) -> None:
    everything = (await key_service.CreateKey(creation(), CONTEXT)).key.key_id
    token = access.principal.set(LIMITED)
    try:
        for call in (
            key_service.CreateKey(creation(), CONTEXT),
            key_service.CreateKey(creation(queues=["mail", "reports"]), CONTEXT),
            key_service.RotateKey(key_service_pb2.RotateKeyRequest(key_id=everything), CONTEXT),
            key_service.RevokeKey(key_service_pb2.RevokeKeyRequest(key_id=everything), CONTEXT),
        ):
            with pytest.raises(errors.GrantExceeded, match="queues") as refused:
                await call
            assert refused.value.metadata == {"fields": "queues"}
        await key_service.CreateKey(creation(queues=["mail"]), CONTEXT)
    finally:
        access.principal.reset(token)


async def test_the_last_admin_key_is_kept_also_by_a_server_that_requires_none(key_service: keys.KeyService) -> None:
    role = key_pb2.ApiKey.Role.admin
    last = (await key_service.CreateKey(creation(role=role), CONTEXT)).key.key_id
    revocation = key_service_pb2.RevokeKeyRequest(key_id=last)
    with pytest.raises(errors.LastAdminKey):
        await key_service.RevokeKey(revocation, CONTEXT)
    await key_service.CreateKey(creation(role=role, never_expires=True), CONTEXT)
    assert not (await key_service.RevokeKey(revocation, CONTEXT)).in_force
