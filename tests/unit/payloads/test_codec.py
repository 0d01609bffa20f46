"""Payloads are encrypted for one handler, and decrypt as nothing else."""

import base64
import json
import re
import sys
from typing import Any

import cryptography.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

import duetime_payloads
from duetime_payloads import DecryptionFailed, Kind, PayloadCodec, UnknownKey
from tests.support import pages, payload_keys

KEY = payload_keys.new_key()
CODEC = PayloadCodec({"2026-11": KEY})
PAYLOAD: dict[str, Any] = {"to": "grüße", "n": [1, 2.5, None, True, {}]}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def encrypt(payload: dict[str, Any] | None = None, codec: PayloadCodec = CODEC, **changes: Any) -> dict[str, Any]:
    return codec.encrypt(payload or PAYLOAD, **{"kind": Kind.TASK_DATA, "handler": "Charge Card", **changes})


def decrypt(payload: dict[str, Any], codec: PayloadCodec = CODEC, **changes: Any) -> dict[str, Any]:
    return codec.decrypt(payload, **{"kind": Kind.TASK_DATA, "handler": "Charge Card", **changes})


@given(payload=st.dictionaries(st.text(), json_values, max_size=4), handler=st.text(max_size=255))
def test_any_payload_decrypts_to_what_it_was(payload: dict[str, Any], handler: str) -> None:
    encrypted = CODEC.encrypt(payload, kind=Kind.RESULT, handler=handler)
    assert duetime_payloads.problem(encrypted) is None
    assert CODEC.decrypt(encrypted, kind=Kind.RESULT, handler=handler) == payload


def test_nothing_of_a_payload_but_its_length_is_seen() -> None:
    encrypted = encrypt({"password": "hunter2hunter2", "to": "ada"})
    (sealed,) = encrypted.values()
    assert encrypted.keys() == {"$enc"}
    assert (sealed.keys(), sealed["k"]) == ({"k", "n", "c"}, "2026-11")
    assert not [each for each in ("hunter2", "password", "ada", "Charge") if each in json.dumps(encrypted)]
    assert b"hunter2" not in base64.b64decode(sealed["c"])
    assert encrypt() != encrypt(), "each has a nonce of its own"


@pytest.mark.parametrize(
    "changes", [{"handler": "Call Webhook"}, {"handler": "charge card"}, {"kind": Kind.RESULT}, {"namespace": "other"}]
)
def test_a_payload_of_another_handler_kind_or_namespace_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecryptionFailed, match=r"^it was not encrypted as (task_data|result) of handler "):
        decrypt(encrypt(), **changes)
    assert decrypt(encrypt(**changes), **changes) == PAYLOAD


def test_the_example_in_the_docs_decrypts_and_refuses_the_same() -> None:
    (example,) = re.findall(
        r"```python\n(import base64\n.*?def decrypt.*?)```", (pages.ROOT / "docs/security.md").read_text(), re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(example, names)
    for kind in Kind:
        encrypted = encrypt(kind=kind, handler="Grüße")
        assert names["decrypt"](encrypted, {"2026-11": KEY}, str(kind), "Grüße") == PAYLOAD
        with pytest.raises(cryptography.exceptions.InvalidTag):
            names["decrypt"](encrypted, {"2026-11": KEY}, str(kind), "Gruesse")


@pytest.mark.parametrize("part", ["n", "c"])
def test_any_changed_bit_is_refused(part: str) -> None:
    encrypted = encrypt()
    original = base64.b64decode(encrypted["$enc"][part])
    for position in range(8 * len(original)):
        changed = bytearray(original)
        changed[position // 8] ^= 1 << position % 8
        encrypted["$enc"][part] = base64.b64encode(changed).decode()
        with pytest.raises(DecryptionFailed, match=r"or was changed since$"):
            decrypt(encrypted)


def test_a_truncated_ciphertext_is_refused() -> None:
    encrypted = encrypt()
    original = base64.b64decode(encrypted["$enc"]["c"])
    for length in range(len(original)):
        encrypted["$enc"]["c"] = base64.b64encode(original[:length]).decode()
        with pytest.raises(DecryptionFailed):
            decrypt(encrypted)


def test_a_key_that_is_not_known_is_named_and_so_are_those_that_are() -> None:
    with pytest.raises(UnknownKey, match=r"^it is encrypted with the key 2026-11, which is not among the known: a, b$"):
        decrypt(encrypt(), payload_keys.codec("a", "b"))


def test_another_key_of_the_same_id_is_refused() -> None:
    with pytest.raises(DecryptionFailed, match="with key 2026-11, or was changed since"):
        decrypt(encrypt(), payload_keys.codec("2026-11"))


def test_while_keys_are_rotated_either_decrypts_and_the_first_encrypts() -> None:
    new = payload_keys.new_key()
    both = PayloadCodec({"2026-12": new, "2026-11": KEY})
    assert decrypt(encrypt(), both) == PAYLOAD
    assert encrypt(codec=both)["$enc"]["k"] == "2026-12"
    assert decrypt(encrypt(codec=both), PayloadCodec({"2026-12": new})) == PAYLOAD


def test_a_repeated_request_is_the_same_and_any_other_has_another_nonce() -> None:
    first = encrypt(request_id="r")
    assert encrypt(dict(reversed(PAYLOAD.items())), request_id="r") == first
    others = [
        encrypt(request_id="s"),
        encrypt({**PAYLOAD, "n": 1}, request_id="r"),
        encrypt(request_id="r", handler="other"),
        encrypt(request_id="r", namespace="other"),
        encrypt(request_id="r", kind=Kind.RESULT),
        encrypt(request_id="r", codec=payload_keys.codec("2026-11")),
        encrypt(),
    ]
    assert len({each["$enc"]["n"] for each in (first, *others)}) == 1 + len(others)
    assert decrypt(first) == PAYLOAD


@pytest.mark.parametrize(
    "keys", [{}, {"a": b"x" * 16}, {"a": b""}, {"": b"x" * 32}, {"a b": b"x" * 32}, {"x" * 65: b"x" * 32}]
)
def test_invalid_keys_make_no_codec(keys: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r"a codec needs a key|a key must be 32 bytes, and its id 1 to 64 letters"):
        PayloadCodec(keys)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(ValueError, match=r"pip install 'duetime-client\[encryption\]'$"):
        payload_keys.codec("a")


def test_the_repr_of_a_codec_shows_no_key() -> None:
    assert repr(KEY)[2:-1] not in repr(CODEC)
    assert KEY.hex() not in repr(vars(CODEC))
