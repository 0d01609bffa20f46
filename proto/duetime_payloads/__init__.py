"""Encrypted payloads: what clients and workers write into task_data and results, so that no server can read them.

    {"$enc": {"k": "2026-11", "n": "…", "c": "…"}}

is the id of the key, the nonce, and the ciphertext with its tag: AES-256-GCM over the payload as JSON, bound to the
handler's name. docs/security.md describes it for clients in other languages.
"""

from duetime_payloads.codec import DecryptionFailed, Kind, PayloadCodec, UnknownKey
from duetime_payloads.form import KEY, is_encrypted, problem

__all__ = ["KEY", "DecryptionFailed", "Kind", "PayloadCodec", "UnknownKey", "is_encrypted", "problem"]
