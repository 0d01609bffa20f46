"""Issuers of access tokens: the file that names one, the keys and tokens of one, and one that answers over TLS."""

import asyncio
import contextlib
import dataclasses
import functools
import json
import pathlib
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from duetime_core.model.access import Role

AUDIENCE = "https://duetime.test"
ALIAS = "corp"
LIMITED = "limited"
"""The group whose members may only create and change tasks of one handler in one queue."""
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"


@dataclasses.dataclass(frozen=True)
class Signer:
    """A private key of an issuer."""

    kid: str
    algorithm: str
    key: Any

    @property
    def jwk(self) -> dict[str, Any]:
        """Its public key, as the issuer publishes it."""
        kind = jwt.get_algorithm_by_name(self.algorithm)
        public: dict[str, Any] = kind.to_jwk(self.key.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig", "key_ops": ["verify"]}

    def sign(self, claims: Mapping[str, Any], **headers: Any) -> str:
        """Returns a token with these claims and further headers. A header that is None is left out."""
        given = {"typ": "at+jwt", "kid": self.kid, **headers}
        kept = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(dict(claims), self.key, self.algorithm, kept)


@functools.cache
def signer(kid: str = "one", algorithm: str = "ES256") -> Signer:
    """Returns the key of that id, which is always the same."""
    match algorithm:
        case "ES256":
            return Signer(kid, algorithm, ec.generate_private_key(ec.SECP256R1()))
        case "ES384":
            return Signer(kid, algorithm, ec.generate_private_key(ec.SECP384R1()))
        case "EdDSA":
            return Signer(kid, algorithm, ed25519.Ed25519PrivateKey.generate())
        case _:
            return Signer(kid, algorithm, rsa.generate_private_key(65537, 2048))


def write_file(directory: pathlib.Path, url: str, **settings: object) -> pathlib.Path:
    """Writes the file that names this issuer, with a grant for each role, whose value is its name."""
    path = directory / "jwt.toml"
    values = {"issuer": url, "audience": AUDIENCE, "claim": "groups", **settings}
    lines = [f"[{ALIAS}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    for role in Role:
        lines += [f"[[{ALIAS}.grants]]", f'value = "{role}"', f'role = "{role}"']
    lines += [f"[[{ALIAS}.grants]]", f'value = "{LIMITED}"', 'role = "editor"']
    lines += ['handlers = ["Greet"]', 'queues = ["mail"]']
    path.write_text("\n".join(lines))
    return path


@dataclasses.dataclass
class Issuer:
    """An issuer, its keys, and what it answers. `serving` makes one that answers."""

    url: str = "https://issuer.test"
    signers: list[Signer] = dataclasses.field(default_factory=lambda: [signer()])
    answers: dict[str, bytes] = dataclasses.field(default_factory=dict)
    """Whole responses by path, instead of its documents."""
    silent: set[str] = dataclasses.field(default_factory=set)
    """The paths that it never answers."""
    requests: list[str] = dataclasses.field(default_factory=list)
    """The paths that were requested."""
    closed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def claims(self, group: str = "admin", /, **changes: Any) -> dict[str, Any]:
        """Returns the claims of a valid token, changed; a claim that is None is left out."""
        now = int(time.time())
        valid = {"iss": self.url, "aud": AUDIENCE, "sub": "alice", "groups": [group], "iat": now, "exp": now + 600}
        return {name: value for name, value in {**valid, **changes}.items() if value is not None}

    def token(self, group: str = "admin", /, **changes: Any) -> str:
        """Returns a token of a member of that group."""
        return self.signers[0].sign(self.claims(group, **changes))

    def keys(self) -> bytes:
        """Returns its JWK Set."""
        return json.dumps({"keys": [each.jwk for each in self.signers]}).encode()

    def write_keys(self, directory: pathlib.Path) -> pathlib.Path:
        """Writes its JWK Set to a file."""
        path = directory / "keys.json"
        path.write_bytes(self.keys())
        return path

    def discovery(self, **changes: object) -> dict[str, object]:
        """Returns its discovery document, changed."""
        return {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}", **changes}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            path = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split(" ")[1]
            self.requests.append(path)
            if path in self.silent:
                await self.closed.wait()
            writer.write(self.answers.get(path) or self._answer(path))
            await writer.drain()
        writer.close()

    def _answer(self, path: str) -> bytes:
        match path:
            case "/.well-known/openid-configuration":
                return answer(json.dumps(self.discovery()).encode())
            case "/keys":
                return answer(self.keys())
            case _:
                return answer(b"", status="404 Not Found")


def answer(content: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """Returns a whole response."""
    given = {"content-length": str(len(content)), "connection": "close", **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None) -> AsyncIterator[Issuer]:
    """Yields an issuer that answers over TLS, or without."""
    issuer = Issuer()
    async with await asyncio.start_server(issuer.serve, "127.0.0.1", 0, ssl=context) as server:
        scheme = "http" if context is None else "https"
        issuer.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield issuer
        issuer.closed.set()
