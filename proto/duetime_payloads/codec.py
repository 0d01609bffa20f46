"""Encrypts and decrypts payloads."""

import enum
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any, Self

from duetime_payloads import form, keys

NAMESPACE = "default"
"""The only one that there is."""


class DecryptionFailed(ValueError):
    """The payload was encrypted for another handler, or changed since; the message names no part of it."""


class UnknownKey(DecryptionFailed):
    """The payload is encrypted with a key that is not among these."""


class Kind(enum.StrEnum):
    """What a payload is. It is encrypted as that: nobody can store a task's result as another one's task_data."""

    TASK_DATA = "task_data"
    RESULT = "result"


class PayloadCodec:
    """Encrypts with the first of its keys, and decrypts with any: AES-256-GCM. Its repr shows none."""

    def __init__(self, by_id: Mapping[str, bytes]) -> None:
        """Takes keys of 32 random bytes by their ids. Raises ValueError for others."""
        try:
            # Imported here, because only programs that encrypt need it.
            from cryptography.hazmat.primitives.ciphers import aead
        except ImportError:
            raise ValueError("encrypting needs cryptography: pip install 'duetime-client[encryption]'") from None
        if not by_id:
            raise ValueError("a codec needs a key")
        for key_id, key in by_id.items():
            if not form.is_key_id(key_id) or len(key) != keys.KEY_BYTES:
                raise ValueError(f"a key must be {keys.KEY_BYTES} bytes, and its id {form.KEY_ID}")
        self._ciphers = {key_id: aead.AESGCM(key) for key_id, key in by_id.items()}
        self._key_id, first = next(iter(by_id.items()))
        self._nonce_key = hmac.digest(first, b"duetime: nonces of requests", "sha256")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Reads a file of keys: in each line an id, a space and the base64 of 32 random bytes. Raises ValueError."""
        return cls(keys.read(path))

    def encrypt(
        self,
        payload: Mapping[str, Any],
        *,
        kind: Kind,
        handler: str,
        request_id: str | None = None,
        namespace: str = NAMESPACE,
    ) -> dict[str, Any]:
        """Returns the payload, which is JSON, encrypted for that handler.

        With a request_id the same payload gives the same again: a request that is repeated must not differ.
        """
        text = json.dumps(payload, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        bound = _bound(kind, namespace, handler)
        nonce = os.urandom(form.NONCE_BYTES)
        if request_id is not None:
            # All that the ciphertext depends on: two different ones never share a nonce but by chance.
            parts = [bound, request_id.encode(), text]
            given = b"".join(len(part).to_bytes(8) + part for part in parts)
            nonce = hmac.digest(self._nonce_key, given, "sha256")[: form.NONCE_BYTES]
        ciphertext = self._ciphers[self._key_id].encrypt(nonce, text, bound)
        return form.write(form.Sealed(self._key_id, nonce, ciphertext))

    def decrypt(
        self, payload: Mapping[str, Any], *, kind: Kind, handler: str, namespace: str = NAMESPACE
    ) -> dict[str, Any]:
        """Returns an encrypted payload as it was. Raises UnknownKey, or DecryptionFailed if it is not that payload."""
        from cryptography import exceptions

        try:
            sealed = form.read(payload)
        except form.InvalidForm as error:
            raise DecryptionFailed(f"it is not an encrypted payload: {error}") from None
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            known = ", ".join(self._ciphers)
            raise UnknownKey(f"it is encrypted with the key {sealed.key_id}, which is not among the known: {known}")
        try:
            text = cipher.decrypt(sealed.nonce, sealed.ciphertext, _bound(kind, namespace, handler))
        except exceptions.InvalidTag:
            raise DecryptionFailed(
                f'it was not encrypted as {kind} of handler "{handler}" with key {sealed.key_id}, or was changed since'
            ) from None
        found = json.loads(text)
        if not isinstance(found, dict):
            raise DecryptionFailed("it is not an object")
        return found


def _bound(kind: Kind, namespace: str, handler: str) -> bytes:
    """Returns what a ciphertext is authenticated with: whatever differs in it does not decrypt."""
    return json.dumps(["duetime", kind, namespace, handler], ensure_ascii=False, separators=(",", ":")).encode()
