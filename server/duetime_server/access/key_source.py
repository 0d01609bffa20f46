"""Reading the JWK Set of an issuer: through its discovery document, or from a file."""

import asyncio
import functools
import json
import ssl
from typing import Any

import httpx

from duetime_server.access import issuers

MAX_BYTES = 64 * 1024
"""The most that is read of each document."""
READ_SECONDS = 5.0
"""For both documents together: a call may wait for them."""
_DISCOVERY = "/.well-known/openid-configuration"


class Failed(Exception):
    """The JWK Set could not be read. The message is for the server's log."""


async def read(issuer: issuers.Issuer) -> bytes:
    """Returns the JWK Set of an issuer. Raises Failed."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            if issuer.keys_file is not None:
                return await asyncio.to_thread(issuer.keys_file.read_bytes)
            return await _discovered(issuer.issuer)
    except TimeoutError:
        raise Failed(f"it took more than {READ_SECONDS:g} s") from None
    except (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Failed(f"{type(error).__name__}: {error}") from error


async def _discovered(issuer: str) -> bytes:
    context = await asyncio.to_thread(_context)
    # No proxy and no password of the environment, no redirects, and no compression, which could hide a large document.
    async with httpx.AsyncClient(
        verify=context, trust_env=False, follow_redirects=False, headers={"Accept-Encoding": "identity"}
    ) as client:
        url = issuer.removesuffix("/") + _DISCOVERY
        document = _json(await _get(client, url), url)
        if document.get("issuer") != issuer:
            raise Failed(f"{url} is of another issuer")
        keys_url = document.get("jwks_uri")
        if not isinstance(keys_url, str) or not keys_url.startswith("https://"):
            raise Failed(f"{url} has no https:// URL in 'jwks_uri'")
        return await _get(client, keys_url)


async def _get(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url) as response:
        if response.status_code != httpx.codes.OK:
            raise Failed(f"{url} was answered with status {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Failed(f"{url} was answered with a compressed document")
        content = bytearray()
        async for part in response.aiter_raw():
            content += part
            if len(content) > MAX_BYTES:
                raise Failed(f"{url} was answered with more than {MAX_BYTES} bytes")
        return bytes(content)


def _json(content: bytes, url: str) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise Failed(f"{url} was not answered with a JSON object")
    return parsed


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()  # heeds SSL_CERT_FILE
