"""The form of encrypted payloads, which servers check."""

import base64
from typing import Any

import pytest

import duetime_payloads

NONCE, CIPHERTEXT = (base64.b64encode(bytes(count)).decode() for count in (12, 16))
SEALED = {"k": "a", "n": NONCE, "c": CIPHERTEXT}
NO_SEALED: list[object] = [None, "x", [], {}, {**SEALED, "v": 1}, {"k": "a", "n": "b"}]
SHAPE = "must be an object with the key's id k, the nonce n and the ciphertext c"
KEY_ID = "must be the id of a key: 1 to 64 letters, digits, '-', '_' and '.'"
IN_BASE64 = "must be 12 bytes in base64"
WITH_TAG = "must be at least 16 bytes, the tag, in base64"


@pytest.mark.parametrize(
    ("payload", "path", "problem"),
    [
        ({"$enc": SEALED, "a": 1}, "", "must have $enc alone, which is the whole payload, encrypted"),
        *(({"$enc": sealed}, ".$enc", SHAPE) for sealed in NO_SEALED),
        *(
            ({"$enc": {**SEALED, "k": key_id}}, ".$enc.k", KEY_ID)
            for key_id in (None, 1, "", "a b", "é", "a/b", "a\n", "x" * 65)
        ),
        *(
            ({"$enc": {**SEALED, "n": nonce}}, ".$enc.n", IN_BASE64)
            for nonce in (None, 1, "", "AAAA", NONCE + "AAAA", NONCE[:-1], NONCE + "\n", "é", NONCE.replace("A", "-"))
        ),
        *(
            ({"$enc": {**SEALED, "c": ciphertext}}, ".$enc.c", WITH_TAG)
            for ciphertext in (None, "", NONCE, CIPHERTEXT[:-1], f" {CIPHERTEXT}", "\ud800")
        ),
    ],
)
def test_another_form_is_refused_with_its_path(payload: dict[str, Any], path: str, problem: str) -> None:
    assert duetime_payloads.problem(payload) == (path, problem)


def test_the_right_form_needs_no_key() -> None:
    assert duetime_payloads.problem({"$enc": SEALED}) is None
    assert duetime_payloads.problem({"$enc": {**SEALED, "k": "x" * 64, "c": CIPHERTEXT[:-2] + "A="}}) is None


def test_only_the_whole_payload_is_encrypted() -> None:
    assert duetime_payloads.is_encrypted({"$enc": None})
    assert not duetime_payloads.is_encrypted({"a": {"$enc": SEALED}})
