"""Authenticates callers by access tokens: JSON Web Tokens that an issuer signs (RFC 9068, RFC 8725).

A token is accepted until it expires. What was verified is remembered, so that a caller's next call costs a hash alone.
Callers do not learn why a token is refused; the server logs it.
"""

import base64
import collections
import dataclasses
import datetime
import hashlib
import json
import math
import time
from collections.abc import Mapping
from typing import Any

import jwt
import structlog

from duetime_core.model import access, errors
from duetime_server.access import issuers, signing_keys

LEEWAY_SECONDS = 30
"""How much the clocks of an issuer and a server may differ."""
MAX_LIFETIME_SECONDS = 86_400
"""The longest that a token may be valid from now on: nothing but its expiry ends it."""
MAX_TOKENS = 10_000
"""How many verified tokens are remembered: some MB."""
_LOG_SECONDS = 60.0
"""How often the same reason is logged."""

_log = structlog.get_logger()

_MAX_SUBJECT = access.MAX_ACTOR_CHARACTERS - len("jwt::") - issuers.MAX_ALIAS
_ACCESS_TOKEN = "at+jwt"  # noqa: S105 - a type of tokens
_TYPES = (_ACCESS_TOKEN, "jwt", "")
_NOT_IN_HEADERS = frozenset({"crit", "jku", "jwk", "x5c", "x5u"})
"""What a verifier would have to understand, or might take for the key."""
_OTHER_PURPOSES = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "events"})
"""Claims of tokens that assure a client of a login or a logout, and are not for APIs."""
_INVALID = "The access token is not valid: it has expired, or no trusted issuer signed it for this server."


class NoGrant(errors.PermissionDenied):
    """The access token is valid, but permits nothing here: no grant of its issuer matches it."""

    def __init__(self, actor: str) -> None:
        super().__init__(NoGrant.__doc__)
        self.actor = actor


class _Refused(Exception):
    """Why a token is refused, for the log. The texts are few, and quote nothing of the token."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature and claims were verified."""

    actor: str
    principal: access.Principal | None
    """None without a grant."""
    alias: str
    key: jwt.PyJWK
    kid: str
    accepted_until: float
    """By this machine's clock, as the issuer's."""
    accepted_until_monotonic: float
    """If this machine's clock is set back, the token does not live longer for it."""

    def is_in_force(self) -> bool:
        return time.time() < self.accepted_until and time.monotonic() < self.accepted_until_monotonic


def is_token(bearer: str) -> bool:
    """Returns whether that looks like a signed token: three parts, the first of them an object."""
    return bearer.startswith("ey") and bearer.count(".") == 2


class TokenAuthenticator:
    """Knows the principals of access tokens. `run` of each of its `signing_keys` belongs to it."""

    def __init__(self, known: issuers.Issuers) -> None:
        self.signing_keys = {alias: signing_keys.SigningKeys(alias, issuer) for alias, issuer in known.items()}
        self._issuers = {issuer.issuer: (alias, issuer) for alias, issuer in known.items()}
        self._verified: collections.OrderedDict[bytes, _Verified] = collections.OrderedDict()
        self._logged_at: dict[str, float] = {}

    async def authenticate(self, token: str) -> access.Principal:
        """Returns who calls with that token. Raises CredentialsInvalid, NoGrant, IssuerUnavailable."""
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._verified.get(digest)
        try:
            if verified is None or not self._has_key(verified):
                verified = self._verified[digest] = await self._verify(token)
                while len(self._verified) > MAX_TOKENS:
                    self._verified.popitem(last=False)
            elif not verified.is_in_force():
                raise _Refused("it has expired")
        except _Refused as refused:
            self._verified.pop(digest, None)
            self._note(str(refused))
            raise errors.CredentialsInvalid(_INVALID) from None
        self._verified.move_to_end(digest)
        if verified.principal is None:
            raise NoGrant(verified.actor)
        return verified.principal

    def _has_key(self, verified: _Verified) -> bool:
        """Returns whether its issuer still has the key that signed it."""
        keys = self.signing_keys[verified.alias]
        return keys.get(verified.kid, verified.key.algorithm_name) is verified.key

    async def _verify(self, token: str) -> _Verified:
        unverified = _parse(token)
        alias, issuer = self._issuer(unverified["payload"])
        kid, algorithm = _key_of(unverified["header"], issuer)
        key = await self.signing_keys[alias].find(kid, algorithm)
        if key is None:
            raise _Refused("its key ('kid') is not one of its issuer's")
        _check_signature(token, key)
        claims = _verified_claims(token, key, issuer)
        _check_purpose(unverified["header"], claims)
        lives_seconds = _lives_seconds(claims["exp"])
        actor = f"jwt:{alias}:{_subject(claims)}"
        return _Verified(
            actor,
            _principal(issuer.grant(claims), actor, claims["exp"]),
            alias,
            key,
            kid,
            time.time() + lives_seconds,
            time.monotonic() + lives_seconds,
        )

    def _issuer(self, claims: Mapping[str, Any]) -> tuple[str, issuers.Issuer]:
        issuer = claims.get("iss")
        found = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if found is None:
            raise _Refused("its issuer ('iss') is not in the file")
        return found

    def _note(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._logged_at.get(reason, -math.inf) >= _LOG_SECONDS:
            self._logged_at[reason] = now
            _log.info("access token refused", reason=reason)


def _parse(token: str) -> dict[str, Any]:
    """Returns the header and the claims as they are written, by anyone.

    PyJWT, which is strict, reads them again once the signature is right: it takes ten times as long.
    """
    try:
        header, payload = (json.loads(_bytes(part)) for part in token.split(".")[:2])
    except (ValueError, RecursionError):
        raise _Refused("it is malformed") from None
    if not isinstance(header, dict) or not isinstance(payload, dict):
        raise _Refused("it is malformed")
    return {"header": header, "payload": payload}


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "==")


def _check_signature(token: str, key: jwt.PyJWK) -> None:
    """Refuses a forged token at little cost, which anyone can cause. PyJWT decides about the others."""
    signed, _, signature = token.rpartition(".")
    try:
        is_right = key.Algorithm.verify(signed.encode(), key.key, _bytes(signature))
    except ValueError:
        raise _Refused("it is malformed") from None
    if not is_right:
        raise _Refused("its signature is wrong")


def _key_of(header: Mapping[str, Any], issuer: issuers.Issuer) -> tuple[str, str]:
    """Returns which key signed a token, as it says, and with what. Nothing is read for a token that is refused here."""
    if _NOT_IN_HEADERS & header.keys():
        raise _Refused(f"its header has one of {', '.join(sorted(_NOT_IN_HEADERS))}")
    kid, algorithm = header.get("kid"), header.get("alg")
    if algorithm not in issuer.algorithms:
        raise _Refused("its algorithm ('alg') is not allowed")
    if not isinstance(kid, str):
        raise _Refused("it does not name its key ('kid')")
    return kid, algorithm


def _verified_claims(token: str, key: jwt.PyJWK, issuer: issuers.Issuer) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            issuer.algorithms,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            audience=issuer.audience,
            issuer=issuer.issuer,
            leeway=LEEWAY_SECONDS,
        )
    except jwt.InvalidSignatureError:
        raise _Refused("its signature is wrong") from None
    except jwt.ExpiredSignatureError:
        raise _Refused("it has expired") from None
    except jwt.ImmatureSignatureError:
        raise _Refused("it is not valid yet ('nbf' or 'iat')") from None
    except jwt.InvalidAudienceError:
        raise _Refused("it is for another audience ('aud')") from None
    except jwt.MissingRequiredClaimError as error:
        raise _Refused(f"it has no claim {error.claim!r}") from None
    except jwt.PyJWTError:
        raise _Refused("it is malformed") from None


def _check_purpose(header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Refuses tokens that are not access tokens, or that only their owner's key makes valid."""
    given = header.get("typ", "")
    kind = given.lower().removeprefix("application/") if isinstance(given, str) else None
    is_other = kind != _ACCESS_TOKEN and (_OTHER_PURPOSES & claims.keys() or claims.get("typ") == "ID")
    if kind not in _TYPES or is_other:
        raise _Refused("it is not an access token, but perhaps an id_token")
    if "cnf" in claims:
        raise _Refused("it is bound to a key of its owner ('cnf'), which is not verified here")


def _lives_seconds(expires: Any) -> float:
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise _Refused("its claim 'exp' is not a number")
    now = time.time()
    if expires > now + MAX_LIFETIME_SECONDS + LEEWAY_SECONDS:
        raise _Refused("it is valid for more than 24 hours")
    return expires + LEEWAY_SECONDS - now


def _subject(claims: Mapping[str, Any]) -> str:
    subject: str = claims["sub"]
    # PyJWT has checked that it is a string. A control character could forge lines of logs.
    if not 1 <= len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise _Refused(f"its claim 'sub' is not a text of 1 to {_MAX_SUBJECT} printable characters")
    return subject


def _principal(grant: issuers.Grant | None, actor: str, expires: float) -> access.Principal | None:
    if grant is None:
        return None
    return access.Principal(
        actor,
        grant.role,
        may_read_payloads=grant.may_read_payloads or grant.role.reads_payloads,
        handlers=None if grant.handlers is None else frozenset(grant.handlers),
        queues=None if grant.queues is None else frozenset(grant.queues),
        expires_at=datetime.datetime.fromtimestamp(expires, datetime.UTC),
    )
