"""Which keys of a JWK Set are used, and for what."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from duetime_server.access import key_sets
from tests.support import issuers


def parse(*jwks: Any, algorithms: tuple[str, ...] = key_sets.ALGORITHMS) -> set[tuple[str, str]]:
    return set(key_sets.parse(json.dumps({"keys": jwks}).encode(), algorithms).keys)


@pytest.mark.parametrize("algorithm", key_sets.ALGORITHMS)
def test_a_key_verifies_with_its_algorithm_alone(algorithm: str) -> None:
    own = issuers.signer("one", algorithm)
    found = key_sets.parse(json.dumps({"keys": [own.jwk]}).encode(), key_sets.ALGORITHMS)
    assert list(found.keys) == [("one", algorithm)]
    (key,) = found.keys.values()
    assert key.algorithm_name == algorithm
    assert jwt.decode(own.sign({"sub": "alice"}), key, [algorithm]) == {"sub": "alice"}


def test_a_key_without_an_algorithm_is_used_for_those_of_its_type() -> None:
    rsa_key, curve = ({**issuers.signer("one", name).jwk, "alg": None} for name in ("RS256", "ES256"))
    for jwk in (rsa_key, curve):
        del jwk["alg"]
    assert parse(rsa_key) == {("one", "RS256"), ("one", "PS256")}
    assert parse(curve) == {("one", "ES256")}
    assert parse(rsa_key, algorithms=("PS256", "ES256")) == {("one", "PS256")}


GOOD = issuers.signer("one").jwk
PRIVATE = jwt.get_algorithm_by_name("ES256").to_jwk(issuers.signer("one").key, as_dict=True)
SHORT = jwt.get_algorithm_by_name("RS256").to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
UNUSABLE: list[Any] = [
    {**GOOD, "kid": None},
    {**GOOD, "kid": 1},
    {**GOOD, "use": "enc"},
    {**GOOD, "key_ops": ["sign"]},
    {**GOOD, "alg": "ES384"},
    {**GOOD, "alg": "none"},
    {**GOOD, "alg": "HS256"},
    {**GOOD, "alg": ["ES256"]},
    {**GOOD, "crv": "P-384"},
    {**GOOD, "crv": "secp256k1"},
    {**GOOD, "crv": ["P-256"]},
    {**GOOD, "kty": "RSA"},
    {**GOOD, "kty": ["EC"]},
    {**GOOD, "x": "AAAA"},
    {**GOOD, "x": 1},
    {**GOOD, "y": GOOD["x"]},
    {"kid": "one", "kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"},
    {"kid": "one", "kty": "RSA", "n": "AQAB", "e": "AQAB"},
    {"kid": "one", "kty": "RSA", "n": {}, "e": []},
    {**SHORT, "kid": "one"},
    {**PRIVATE, "kid": "one"},
    {},
    [],
    "one",
    None,
]


@pytest.mark.parametrize("jwk", UNUSABLE, ids=range(len(UNUSABLE)))
def test_a_key_that_cannot_be_used_is_left_out(jwk: Any) -> None:
    with pytest.raises(key_sets.Unusable, match="no public key with a 'kid' for RS256, PS256, ES256, EdDSA"):
        parse(jwk)
    assert parse(jwk, {**GOOD, "kid": "two"}) == {("two", "ES256")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no list 'keys'"),
        (b'{"keys": {}}', "no list 'keys'"),
        (b'{"keys": []}', "no public key"),
    ],
)
def test_what_is_no_jwk_set_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(key_sets.Unusable, match=message):
        key_sets.parse(content, key_sets.ALGORITHMS)
