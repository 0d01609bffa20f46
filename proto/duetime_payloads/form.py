"""The form of an encrypted payload, which servers check without its key."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple

KEY = "$enc"
NONCE_BYTES = 12
TAG_BYTES = 16
MAX_KEY_ID_CHARACTERS = 64
KEY_ID = f"1 to {MAX_KEY_ID_CHARACTERS} letters, digits, '-', '_' and '.'"
_KEY_ID = re.compile(r"[A-Za-z0-9._-]+")
_MEMBERS = {"k", "n", "c"}


class Sealed(NamedTuple):
    """An encrypted payload: the id of its key, the nonce, and the ciphertext with its tag."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class InvalidForm(ValueError):
    """The value at `path`, such as `.$enc.n`, is wrong; `problem` says what would be right."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def is_encrypted(payload: Mapping[str, object]) -> bool:
    """Returns whether the payload is an encrypted one, perhaps of a wrong form."""
    return KEY in payload


def is_key_id(text: str) -> bool:
    """Returns whether a key can have that id."""
    return len(text) <= MAX_KEY_ID_CHARACTERS and _KEY_ID.fullmatch(text) is not None


def problem(payload: Mapping[str, object]) -> tuple[str, str] | None:
    """Returns the path of what is wrong with the form of an encrypted payload, and what would be right, if anything."""
    try:
        read(payload)
    except InvalidForm as error:
        return error.path, error.problem
    return None


def read(payload: Mapping[str, object]) -> Sealed:
    """Returns the parts of an encrypted payload. Raises InvalidForm."""
    sealed = payload[KEY]
    if len(payload) > 1:
        raise InvalidForm("", f"must have {KEY} alone, which is the whole payload, encrypted")
    if not isinstance(sealed, Mapping) or sealed.keys() != _MEMBERS:
        raise InvalidForm(f".{KEY}", "must be an object with the key's id k, the nonce n and the ciphertext c")
    key_id = sealed["k"]
    if not isinstance(key_id, str) or not is_key_id(key_id):
        raise InvalidForm(f".{KEY}.k", f"must be the id of a key: {KEY_ID}")
    nonce = _bytes(sealed["n"])
    if nonce is None or len(nonce) != NONCE_BYTES:
        raise InvalidForm(f".{KEY}.n", f"must be {NONCE_BYTES} bytes in base64")
    ciphertext = _bytes(sealed["c"])
    if ciphertext is None or len(ciphertext) < TAG_BYTES:
        raise InvalidForm(f".{KEY}.c", f"must be at least {TAG_BYTES} bytes, the tag, in base64")
    return Sealed(key_id, nonce, ciphertext)


def write(sealed: Sealed) -> dict[str, dict[str, str]]:
    """Returns the payload of these parts."""
    return {KEY: {"k": sealed.key_id, "n": _text(sealed.nonce), "c": _text(sealed.ciphertext)}}


def _bytes(value: object) -> bytes | None:
    try:
        return binascii.a2b_base64(value, strict_mode=True) if isinstance(value, str) else None
    except ValueError:
        return None


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
