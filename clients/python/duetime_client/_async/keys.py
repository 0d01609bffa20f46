"""The client's methods for API keys."""

from __future__ import annotations

import builtins
import datetime
from collections.abc import Iterable

from duetime.v1 import key_service_pb2
from duetime_client import key, key_messages, scalar
from duetime_client._async import connection

_PAGE_SIZE = 1_000


class AsyncKeys(connection.AsyncConnection):
    """The methods for API keys."""

    async def create_key(
        self,
        name: str,
        role: str,
        *,
        may_read_payloads: bool = False,
        handlers: Iterable[str] = (),
        queues: Iterable[str] = (),
        expires_in: datetime.timedelta | None = None,
        never_expires: bool = False,
    ) -> key.CreatedKey:
        """Creates an API key, and returns it with its secret, which no other call returns.

        No handlers or queues mean all. By default it expires after 90 days. Fails with GrantExceeded if it would permit
        more than the caller may do. After Unavailable or DeadlineExceeded it may exist: revoke it.
        """
        message = key_messages.create_key(
            name,
            role,
            may_read_payloads=may_read_payloads,
            handlers=handlers,
            queues=queues,
            expires_in=expires_in,
            never_expires=never_expires,
        )
        created = await self._call(self._open().keys.CreateKey, message)
        return key.CreatedKey(key_messages.to_key(created.key), created.api_key)

    async def list_keys(self, *, show_ended: bool = False) -> builtins.list[key.ApiKey]:
        """Returns the API keys, oldest first; those that expired or were revoked only if `show_ended`."""
        message = key_service_pb2.ListKeysRequest(page_size=_PAGE_SIZE, show_ended=show_ended)
        keys: builtins.list[key.ApiKey] = []
        while True:
            page = await self._call(self._open().keys.ListKeys, message)
            keys += [key_messages.to_key(member) for member in page.keys]
            if not page.next_page_token:
                return keys
            message.page_token = page.next_page_token

    async def get_key(self, key_id: str) -> key.ApiKey:
        """Returns an API key. Fails with ApiKeyNotFound."""
        message = scalar.filled(key_service_pb2.GetKeyRequest(), key_id=key_id)
        return key_messages.to_key(await self._call(self._open().keys.GetKey, message))

    async def rotate_key(self, key_id: str, *, overlap: datetime.timedelta | None = None) -> key.RotatedKey:
        """Replaces an API key with a new one. The old one is accepted until `overlap`, by default a day, has passed.

        Fails with ApiKeyNotFound, ApiKeyNotInForce, or GrantExceeded as create_key does. After Unavailable or
        DeadlineExceeded it may have been rotated: `replaced_by` of `get_key` names the new one, which can be rotated.
        """
        rotated = await self._call(self._open().keys.RotateKey, key_messages.rotate_key(key_id, overlap))
        return key.RotatedKey(key_messages.to_key(rotated.key), rotated.api_key, key_messages.to_key(rotated.replaced))

    async def revoke_key(self, key_id: str) -> key.ApiKey:
        """Revokes an API key and returns it. Fails with ApiKeyNotFound, LastAdminKey or GrantExceeded."""
        message = scalar.filled(key_service_pb2.RevokeKeyRequest(), key_id=key_id)
        return key_messages.to_key(await self._call(self._open().keys.RevokeKey, message))
