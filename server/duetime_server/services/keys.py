"""KeyService: each rpc reads its request, calls the store and writes its response."""

from duetime.v1 import key_pb2, key_service_pb2, key_service_pb2_grpc
from duetime_core.model import api_key
from duetime_core.redis import doorbell
from duetime_core.store.api_keys import create as key_create
from duetime_core.store.api_keys import read as key_read
from duetime_core.store.api_keys import revoke as key_revoke
from duetime_server import access
from duetime_server.api_keys import messages as key_messages
from duetime_server.api_keys import requests as key_requests
from duetime_server.rpc import errors as rpc_errors
from duetime_server.rpc import fields, pools, tokens


class KeyService(key_service_pb2_grpc.KeyServiceServicer):
    """The servicer. `rpc.errors` turns errors into statuses."""

    def __init__(self, connections: pools.Pools, bell: doorbell.Doorbell) -> None:
        self._pools = connections
        self._bell = bell

    async def CreateKey(
        self, request: key_service_pb2.CreateKeyRequest, _: rpc_errors.Context
    ) -> key_service_pb2.CreateKeyResponse:
        """Creates a key, and returns its secret, which nothing else does."""
        grant, lifetime = key_requests.grant(request)
        token = api_key.Token.create()
        created = await key_create.create(
            self._pools.control,
            token,
            grant,
            lifetime=lifetime,
            creator=access.current(),
            actor=access.actor(),
            address=access.address(),
        )
        return key_service_pb2.CreateKeyResponse(key=key_messages.from_key(created), api_key=token.write())

    async def ListKeys(
        self, request: key_service_pb2.ListKeysRequest, _: rpc_errors.Context
    ) -> key_service_pb2.ListKeysResponse:
        """Reads a page of keys."""
        size, scope = fields.page_size(request.page_size), ("ListKeys", request.show_ended)
        after = tokens.number(request.page_token, scope)
        found = await key_read.list_keys(self._pools.reads, with_ended=request.show_ended, after=after, limit=size + 1)
        return key_service_pb2.ListKeysResponse(
            keys=[key_messages.from_key(each) for each in found[:size]],
            next_page_token=tokens.following(scope, [each.number for each in found], size),
        )

    async def GetKey(self, request: key_service_pb2.GetKeyRequest, _: rpc_errors.Context) -> key_pb2.ApiKey:
        """Reads a key."""
        return key_messages.from_key(await key_read.get(self._pools.control, key_requests.key_id(request.key_id)))

    async def RotateKey(
        self, request: key_service_pb2.RotateKeyRequest, _: rpc_errors.Context
    ) -> key_service_pb2.RotateKeyResponse:
        """Replaces a key with a new one, and returns the secret of that."""
        key_id, overlap = key_requests.key_id(request.key_id), key_requests.overlap(request)
        token = api_key.Token.create()
        new, old = await key_create.rotate(
            self._pools.control,
            key_id,
            token,
            overlap=overlap,
            creator=access.current(),
            actor=access.actor(),
            address=access.address(),
        )
        self._bell.keys_changed([key_id])
        return key_service_pb2.RotateKeyResponse(
            key=key_messages.from_key(new), api_key=token.write(), replaced=key_messages.from_key(old)
        )

    async def RevokeKey(self, request: key_service_pb2.RevokeKeyRequest, _: rpc_errors.Context) -> key_pb2.ApiKey:
        """Revokes a key."""
        key_id = key_requests.key_id(request.key_id)
        revoked = await key_revoke.revoke(
            self._pools.control, key_id, revoker=access.current(), actor=access.actor(), address=access.address()
        )
        self._bell.keys_changed([key_id])
        return key_messages.from_key(revoked)
