"""Tokens that a server must refuse, although they look like those of an issuer that it trusts."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization

from tests.support.issuers import Issuer, Signer, signer

Forgery = Callable[[Issuer], str]

HOUR = 3600
_EVIL = "https://evil.test/keys"


def _encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _unsigned(algorithm: object) -> Forgery:
    def forge(issuer: Issuer) -> str:
        header = {"typ": "at+jwt", "kid": issuer.signers[0].kid, "alg": algorithm}
        return f"{_encoded(header)}.{_encoded(issuer.claims())}."

    return forge


def _with_secret(secret: Callable[[Signer], bytes]) -> Forgery:
    """Returns a token that a verifier accepts that takes the public key for a shared secret."""

    def forge(issuer: Issuer) -> str:
        header = {"typ": "at+jwt", "kid": issuer.signers[0].kid, "alg": "HS256"}
        signed = f"{_encoded(header)}.{_encoded(issuer.claims())}"
        return f"{signed}.{_encoded(hmac.digest(secret(issuer.signers[0]), signed.encode(), hashlib.sha256))}"

    return forge


def _pem(own: Signer) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = own.key.public_key().public_bytes(encoding, form)
    return pem


def _claims(**changes: Any) -> Forgery:
    return lambda issuer: issuer.token(**changes)


def _ahead(claim: str, seconds: float) -> Forgery:
    return lambda issuer: issuer.token(**{claim: time.time() + seconds})


def _headers(**headers: Any) -> Forgery:
    return lambda issuer: issuer.signers[0].sign(issuer.claims(), **headers)


def _others(algorithm: str = "ES256", *, named: bool = True, **headers: Any) -> Forgery:
    """Returns a token that another key signed, in the name of the issuer's own one or of no known one."""

    def forge(issuer: Issuer) -> str:
        name = issuer.signers[0].kid if named else "unknown"
        return signer("other", algorithm).sign(issuer.claims(), **({"kid": name} | headers))

    return forge


def _changed(issuer: Issuer) -> str:
    header, _, signature = issuer.token("viewer").split(".")
    return f"{header}.{_encoded(issuer.claims('admin'))}.{signature}"


def _extended(issuer: Issuer) -> str:
    own = issuer.signers[0]
    header = {"typ": "at+jwt", "kid": own.kid, "alg": own.algorithm, "crit": ["b64"], "b64": True}
    signed = f"{_encoded(header)}.{_encoded(issuer.claims())}"
    return f"{signed}.{_encoded(jwt.get_algorithm_by_name(own.algorithm).sign(signed.encode(), own.key))}"


def _raw(header: bytes, claims: Mapping[str, Any] | bytes | None = None) -> Forgery:
    def forge(issuer: Issuer) -> str:
        return f"{_encoded(header)}.{_encoded(issuer.claims() if claims is None else claims)}.{_encoded(b'x' * 64)}"

    return forge


def _of_another_issuer(issuer: Issuer) -> str:
    return Issuer(url="https://evil.test", signers=[signer("evil")]).token()


FORGERIES: dict[str, Forgery] = {
    "not signed": _unsigned("none"),
    "not signed, in other letters": _unsigned("NonE"),
    "no algorithm": _unsigned(None),
    "an algorithm that is no text": _unsigned(["ES256"]),
    "signed with the public key as a shared secret": _with_secret(_pem),
    "signed with the JWK as a shared secret": _with_secret(lambda own: json.dumps(own.jwk).encode()),
    "signed with an empty shared secret": _with_secret(lambda own: b""),
    "without its signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "with other claims": _changed,
    "signed by another key": _others(),
    "signed by a key of another type": _others("RS256"),
    "signed by an unknown key": _others(named=False),
    "with its key in the header": _others(jwk=signer("other").jwk),
    "with the address of its keys in the header": _others(jku=_EVIL),
    "with the address of its certificate in the header": _others(x5u=_EVIL),
    "with its certificate in the header": _others(x5c=["MIIB"]),
    "rightly signed, with the address of keys in the header": _headers(jku=_EVIL),
    "rightly signed, with the address of a certificate in the header": _headers(x5u=_EVIL),
    "without the id of its key": _headers(kid=None),
    "an id of a key that is no text": _raw(b'{"alg": "ES256", "kid": 1}'),
    "an extension that must be understood": _headers(crit=["exp"], exp=1),
    "an extension that PyJWT understands": _extended,
    "an unencoded payload": _raw(b'{"alg": "ES256", "kid": "one", "b64": false, "crit": ["b64"]}', b"x"),
    "an algorithm that is not allowed": lambda issuer: signer("long", "ES384").sign(issuer.claims(), kid="one"),
    "of another issuer": _of_another_issuer,
    "for another issuer": _claims(iss="https://evil.test"),
    "for almost the issuer": lambda issuer: issuer.token(iss=issuer.url + "/"),
    "for no issuer": _claims(iss=None),
    "an issuer that is no text": _raw(b'{"alg": "ES256", "kid": "one"}', {"iss": {}}),
    "for another audience": _claims(aud="https://other.test"),
    "for several other audiences": _claims(aud=["https://other.test", "https://duetime.test/"]),
    "for no audience": _claims(aud=None),
    "an audience that is no text": _claims(aud={"https://duetime.test": True}),
    "without an expiry": _claims(exp=None),
    "expired": _ahead("exp", -31),
    "valid for two days": _ahead("exp", 48 * HOUR),
    "valid for an eternity": _claims(exp=10**400),
    "an expiry that is a text": _claims(exp=str(int(time.time()) + HOUR)),
    "an expiry that is no number": _claims(exp=float("nan")),
    "an infinite expiry": _claims(exp=float("inf")),
    "not valid yet": _ahead("nbf", 60),
    "issued in the future": _ahead("iat", 60),
    "without a subject": _claims(sub=None),
    "an empty subject": _claims(sub=""),
    "a subject that is a number": _claims(sub=1),
    "a subject that forges a line of the log": _claims(sub="alice\nadmin"),
    "a subject with a null character": _claims(sub="alice\0"),
    "a subject that is too long": _claims(sub="x" * 1000),
    "bound to a key": _claims(cnf={"jkt": "x"}),
    "an id_token by its type": _headers(typ="id+jwt"),
    "a logout token": _headers(typ="logout+jwt"),
    "a type that is no text": _headers(typ=1),
    "an id_token by its nonce": lambda issuer: issuer.signers[0].sign(issuer.claims(nonce="n"), typ="JWT"),
    "an id_token by its at_hash": lambda issuer: issuer.signers[0].sign(issuer.claims(at_hash="h"), typ=""),
    "an id_token by its claim": lambda issuer: issuer.signers[0].sign(issuer.claims(typ="ID"), typ="JWT"),
    "encrypted": lambda issuer: ".".join(["eyJhbGciOiJSU0EtT0FFUCJ9", "x", "x", "x", "x"]),
    "claims that are no object": _raw(b'{"alg": "ES256", "kid": "one"}', b"[]"),
    "a header that is no object": lambda issuer: f"ey{'A' * 4}.{_encoded(issuer.claims())}.{_encoded(b'x' * 64)}",
    "a header of many levels": _raw(b'{"alg": ' + b"[" * 2500 + b"]" * 2500 + b"}"),
    "a header with a long number": _raw(b'{"alg": "ES256", "kid": ' + b"1" * 5000 + b"}"),
    "only dots": lambda issuer: "ey..",
    "almost nothing": lambda issuer: "ey.e.y",
}
"""By what is wrong with each."""


def too_long(issuer: Issuer) -> str:
    """Returns a valid token that is longer than any caller needs."""
    return issuer.token(more="x" * 8192)
