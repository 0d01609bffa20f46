"""Fetches files by URL."""

import asyncio

import httpx

from duetime_worker import handlers
from duetime_worker.egress import answers, client

MAX_SECONDS = 120
"""The limit for a whole file."""


async def fetch(url: str, *, max_bytes: int) -> bytes:
    """Returns the body of a GET of the URL.

    Raises Fail if the call is refused or redirected, or the file is missing (4xx) or larger than `max_bytes`, and Retry
    for failures that may be temporary.
    """
    try:
        request = client.of_this_loop().build_request("GET", url)
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: an invalid international name
        raise handlers.Fail(f"the URL is invalid: {error}") from None
    target = answers.origin(request.url)
    try:
        async with asyncio.timeout(MAX_SECONDS):
            response = await client.of_this_loop().send(request, stream=True)
            try:
                return await _read(response, target, max_bytes)
            finally:
                await response.aclose()
    except TimeoutError as error:
        raise handlers.Retry(f"{target} did not send the file within {MAX_SECONDS} s") from error
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError):
        raise handlers.Fail(f"the URL of {target} must begin with http:// or https://") from None
    except httpx.RequestError as error:
        raise answers.no_answer(target, error) from error


async def _read(response: httpx.Response, target: str, max_bytes: int) -> bytes:
    if response.status_code != httpx.codes.OK:
        raise answers.failure(target, response)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        # A small compressed file may decompress to one that fills the memory.
        raise handlers.Fail(f"{target} sent the file compressed, although the request asked for no compression")
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > max_bytes:
            raise handlers.Fail(f"the file at {target} is larger than {max_bytes} bytes")
    return bytes(content)
