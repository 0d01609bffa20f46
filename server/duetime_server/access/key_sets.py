"""The keys with which an issuer signs, from its JWK Set (RFC 7517)."""

import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, get_args

import jwt

Algorithm = Literal["RS256", "PS256", "ES256", "EdDSA"]
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
"""All that may be allowed. None has a shared secret, with which a verifier could also sign."""
_FITTING = {("RSA", None): ("RS256", "PS256"), ("EC", "P-256"): ("ES256",), ("OKP", "Ed25519"): ("EdDSA",)}
"""By the type of a key and its curve. The key decides what verifies a signature, never the token."""


class Unusable(ValueError):
    """The JWK Set has no usable key."""


@dataclasses.dataclass(frozen=True)
class KeySet:
    """The usable keys of a JWK Set, each for one algorithm."""

    content: bytes
    keys: Mapping[tuple[str, str], jwt.PyJWK]
    """By the key's id and the algorithm."""


def parse(content: bytes, algorithms: Collection[str]) -> KeySet:
    """Returns the keys for these algorithms. Raises Unusable, with what is wrong.

    Keys for other purposes, of other types, without an id, or too short are left out, and so is a private key,
    with which anyone can sign.
    """
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        raise Unusable("it is not JSON") from None
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list):
        raise Unusable("it is not a JWK Set: it has no list 'keys'")
    keys: dict[tuple[str, str], jwt.PyJWK] = {}
    for jwk in listed:
        for kid, algorithm in _uses(jwk):
            # PyJWT raises its own errors, and these for values of other types.
            with contextlib.suppress(jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError):
                key = jwt.PyJWK(jwk, algorithm)
                if algorithm in algorithms and key.Algorithm.check_key_length(key.key) is None:
                    keys.setdefault((kid, algorithm), key)
    if not keys:
        raise Unusable(f"it has no public key with a 'kid' for {', '.join(algorithms)}")
    return KeySet(content, keys)


def _uses(jwk: Any) -> Iterator[tuple[str, str]]:
    """Yields the id of a key with each algorithm that it may be used for."""
    if not isinstance(jwk, dict) or "d" in jwk or jwk.get("use", "sig") != "sig":
        return
    kid, kind, curve, purposes = (jwk.get(name) for name in ("kid", "kty", "crv", "key_ops"))
    if not isinstance(kid, str) or not isinstance(kind, str) or not isinstance(curve, str | None):
        return
    if isinstance(purposes, list) and "verify" not in purposes:
        return
    for algorithm in _FITTING.get((kind, curve), ()):
        if jwk.get("alg", algorithm) == algorithm:
            yield kid, algorithm
