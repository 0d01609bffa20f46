"""Starting a real issuer, and getting tokens from it as programs and users do."""

import contextlib
import dataclasses
import json
import os
import pathlib
import ssl
import sys
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import trustme

from tests.support import authlib_issuer, certificates, issuers, processes


@dataclasses.dataclass
class RealIssuer:
    """A running issuer. Its certificate is of the authority in `ca`."""

    url: str
    directory: pathlib.Path
    ca: pathlib.Path
    process: processes.Process

    def rotate(self, kid: str) -> None:
        """Lets it sign with a new key from now on, and publish the others too."""
        path = self.directory / authlib_issuer.KEYS_FILE
        path.write_text(json.dumps([_private(kid), *json.loads(path.read_text())]))

    def forget(self, kid: str) -> None:
        """Lets it no longer publish a key."""
        path = self.directory / authlib_issuer.KEYS_FILE
        path.write_text(json.dumps([key for key in json.loads(path.read_text()) if key["kid"] != kid]))

    async def token_of_a_program(self) -> str:
        """Returns the access token of `deploy`, by its client's credentials."""
        token: str = (await self._ask("deploy", {"grant_type": "client_credentials"}))["access_token"]
        return token

    async def tokens_of_a_user(self) -> tuple[str, str]:
        """Returns the access token and the id_token of `alice`, by an authorization code."""
        redirect = "https://portal.test/callback"
        query = {"client_id": "portal", "redirect_uri": redirect, "scope": "openid", "nonce": "n", "state": "s"}
        async with self._client() as client:
            answer = await client.get("/authorize", params={"response_type": "code", **query})
        assert answer.status_code == 302, answer.text
        (code,) = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["location"]).query)["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect}
        given = await self._ask("portal", form)
        return given["access_token"], given["id_token"]

    async def _ask(self, name: str, form: dict[str, str]) -> dict[str, Any]:
        async with self._client() as client:
            answer = await client.post("/token", data=form, auth=(name, authlib_issuer.SECRET))
        assert answer.status_code == 200, answer.text
        given: dict[str, Any] = answer.json()
        return given

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, verify=ssl.create_default_context(cafile=self.ca), timeout=30)


def _private(kid: str) -> dict[str, Any]:
    kind = jwt.get_algorithm_by_name("RS256")
    private: dict[str, Any] = kind.to_jwk(issuers.signer(kid, "RS256").key, as_dict=True)
    return {**private, "kid": kid, "use": "sig", "alg": "RS256"}


@contextlib.asynccontextmanager
async def running(directory: pathlib.Path) -> AsyncIterator[RealIssuer]:
    """Runs one, whose key is `one`."""
    authority = trustme.CA()
    files = certificates.files(directory, authority, pathlib.Path(authlib_issuer.CHAIN_FILE).stem)
    assert files.chain == directory / authlib_issuer.CHAIN_FILE
    (directory / authlib_issuer.KEYS_FILE).write_text(json.dumps([_private("one")]))
    port = processes.free_port()
    command = (sys.executable, "-m", authlib_issuer.__name__, str(directory), str(port))
    process = await processes.launch(*command, environment=dict(os.environ))
    try:
        await process.wait_for_log("Running on")
        ca = certificates.ca_file(authority, directory)
        yield RealIssuer(f"https://127.0.0.1:{port}", directory, ca, process)
    finally:
        if process.process.returncode is None:
            await process.kill()
