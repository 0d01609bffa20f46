"""The file of the keys that payloads are encrypted with."""

import binascii
import os

from duetime_payloads import form, private_file

KEY_BYTES = 32
_EXAMPLE = 'echo "2026-11 $(openssl rand -base64 32)"'


def read(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Reads a file of keys: in each line an id and its key. Empty lines and `#` are skipped.

    Returns the keys by id, in the order of the file. Raises ValueError, with the line's number and what would be right;
    it quotes nothing that may be a key.
    """
    name = os.fspath(path)
    keys: dict[str, bytes] = {}

    def add(line: str) -> None:
        key_id, key = _parse(line)
        if key_id in keys:
            raise ValueError(f"the id {key_id} is listed twice")
        keys[key_id] = key

    private_file.read(name, add, what="key", is_value=lambda text: text.endswith("="))
    if not keys:
        raise ValueError(f"{name} has no keys; this makes a line: {_EXAMPLE}")
    return keys


def _parse(line: str) -> tuple[str, bytes]:
    key_id, _, encoded = line.strip().partition(" ")
    try:
        key = binascii.a2b_base64(encoded.strip(), strict_mode=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or not form.is_key_id(key_id):
        raise ValueError(f"must be an id and the base64 of {KEY_BYTES} random bytes, as this makes them: {_EXAMPLE}")
    return key_id, key
