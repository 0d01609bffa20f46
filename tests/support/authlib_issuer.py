"""A real issuer: Authlib's OAuth 2.0 and OpenID Connect server, over TLS.

`python -m tests.support.authlib_issuer DIRECTORY PORT`. The directory has its certificate, and its private keys: it
signs with the first, and publishes all.
"""

import dataclasses
import json
import pathlib
import sys
from typing import Any

import flask
from authlib.integrations import flask_oauth2
from authlib.oauth2 import rfc6749, rfc9068
from authlib.oidc import core as oidc
from authlib.oidc import discovery

from tests.support.issuers import AUDIENCE, DISCOVERY, KEYS

KEYS_FILE = "private.json"
CHAIN_FILE, KEY_FILE = "issuer.pem", "issuer.key"
SECRET = "clients-secret"
GROUPS = {"deploy": ["editor"], "alice": ["viewer"]}
"""Of the program `deploy`, and of the user `alice`, who has logged in to the client `portal`."""
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "key_ops"}
"""What a public key does not have."""


@dataclasses.dataclass
class _Client(rfc6749.ClientMixin):  # type: ignore[misc]
    name: str

    def get_client_id(self) -> str:
        return self.name

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.startswith("https://portal.test/")

    def check_client_secret(self, secret: str) -> bool:
        return secret == SECRET

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, kind: str) -> bool:
        return kind == "code"

    def check_grant_type(self, kind: str) -> bool:
        return kind in ("client_credentials", "authorization_code")


@dataclasses.dataclass
class _User:
    name: str

    def get_user_id(self) -> str:
        return self.name


@dataclasses.dataclass
class _Code(oidc.AuthorizationCodeMixin):  # type: ignore[misc]
    code: str
    user: _User
    redirect_uri: str
    scope: str
    nonce: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return 1

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class _CodeGrant(rfc6749.AuthorizationCodeGrant):  # type: ignore[misc]
    codes: dict[str, _Code] = {}  # noqa: RUF012 - one process is one issuer

    def save_authorization_code(self, code: str, request: Any) -> None:
        sent = request.payload
        self.codes[code] = _Code(code, request.user, sent.redirect_uri, sent.scope, sent.data["nonce"])

    def query_authorization_code(self, code: str, _client: object) -> _Code | None:
        return self.codes.get(code)

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        del self.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: _Code) -> _User:
        return authorization_code.user


class _IdTokens(oidc.OpenIDCode):  # type: ignore[misc]
    def __init__(self, url: str, directory: pathlib.Path) -> None:
        super().__init__(require_nonce=True)
        self._url = url
        self._directory = directory

    def exists_nonce(self, _nonce: str, _request: object) -> bool:
        return False

    def resolve_client_private_key(self, _client: object) -> dict[str, Any]:
        return _private(self._directory)[0]

    def get_client_claims(self, client: _Client) -> dict[str, Any]:
        # As of an issuer that was set up badly: even then an id_token is none for an API.
        return {"iss": self._url, "aud": [client.name, AUDIENCE]}

    def get_encode_header(self, _client: object) -> dict[str, Any]:
        return {"alg": "RS256", "kid": _private(self._directory)[0]["kid"]}

    def generate_user_info(self, user: _User, _scope: str) -> Any:
        return oidc.UserInfo(sub=user.name, groups=GROUPS[user.name])


class _AccessTokens(rfc9068.JWTBearerTokenGenerator):  # type: ignore[misc]
    def __init__(self, url: str, directory: pathlib.Path) -> None:
        super().__init__(issuer=url, expires_generator=lambda _client, _grant_type: 300)
        self._directory = directory

    def get_jwks(self) -> dict[str, Any]:
        return {"keys": _private(self._directory)[:1]}

    def get_audiences(self, client: _Client, _user: object, _scope: object) -> list[str]:
        return [client.name, AUDIENCE]

    def get_extra_claims(self, client: _Client, _grant_type: str, user: _User | None, _scope: str) -> dict[str, Any]:
        return {"groups": GROUPS[client.name if user is None else user.name]}


def _private(directory: pathlib.Path) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads((directory / KEYS_FILE).read_text())
    return keys


def make(directory: pathlib.Path, url: str) -> flask.Flask:
    """Returns the application."""
    app = flask.Flask(__name__)
    clients = {name: _Client(name) for name in ("deploy", "portal")}
    server = flask_oauth2.AuthorizationServer(app, clients.get, lambda _token, _request: None)
    server.register_grant(rfc6749.ClientCredentialsGrant)
    server.register_grant(_CodeGrant, [_IdTokens(url, directory)])
    server.register_token_generator("default", _AccessTokens(url, directory))

    @app.get(DISCOVERY)
    def describe() -> dict[str, Any]:
        metadata = discovery.OpenIDProviderMetadata(
            issuer=url,
            authorization_endpoint=f"{url}/authorize",
            token_endpoint=f"{url}/token",
            jwks_uri=f"{url}{KEYS}",
            response_types_supported=["code"],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=["RS256"],
        )
        metadata.validate()
        return dict(metadata)

    @app.get(KEYS)
    def publish() -> dict[str, Any]:
        public = [{name: value for name, value in key.items() if name not in _PRIVATE} for key in _private(directory)]
        return {"keys": public}

    @app.get("/authorize")
    def authorize() -> Any:
        alice = _User("alice")  # has logged in, and consents
        grant = server.get_consent_grant(end_user=alice)
        return server.create_authorization_response(grant_user=alice, grant=grant)

    @app.post("/token")
    def issue() -> Any:
        return server.create_token_response()

    return app


if __name__ == "__main__":
    place, own_port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    certificate = (str(place / CHAIN_FILE), str(place / KEY_FILE))
    make(place, f"https://127.0.0.1:{own_port}").run("127.0.0.1", own_port, ssl_context=certificate)
