"""Keys of encrypted payloads, and their files."""

import base64
import pathlib
import secrets
import uuid

import duetime_payloads


def new_key() -> bytes:
    """Returns a new key."""
    return secrets.token_bytes(32)


def codec(*key_ids: str, **keys: bytes) -> duetime_payloads.PayloadCodec:
    """Returns a codec with these keys, after new ones of these ids."""
    return duetime_payloads.PayloadCodec({**{key_id: new_key() for key_id in key_ids}, **keys})


def file(directory: pathlib.Path, **keys: bytes) -> str:
    """Returns the path of a file with these keys, which only this user can read."""
    path = directory / f"payload-keys-{uuid.uuid4().hex[:8]}"
    path.touch(mode=0o600)
    path.write_text("".join(f"{key_id} {base64.b64encode(key).decode()}\n" for key_id, key in keys.items()))
    return str(path)
