"""Call Webhook: sends an HTTP request."""

import asyncio
import contextlib
import functools
import typing
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from duetime_core.model import builtin
from duetime_worker import handlers, settings
from duetime_worker.builtin import signing
from duetime_worker.egress import answers
from duetime_worker.egress import client as egress

MAX_BODY_CHARACTERS = 2000
_MAX_BODY_BYTES = 4 * MAX_BODY_CHARACTERS
_BODY_SECONDS = 5
"""How long to wait for the response body. The outcome depends on the status alone."""


@functools.cache
def signer() -> signing.Signer:
    """Returns this process's signer, which has the secrets as they were at the first call."""
    return settings.Webhooks.read().secrets_file or signing.Signer({})


@handlers.built_in(builtin.CALL_WEBHOOK)
async def call_webhook(run: handlers.Task, webhook: builtin.Webhook) -> dict[str, Any]:
    """Calls the URL: 2xx completes the task; 408, 425, 429, 5xx and no response are retried; other statuses fail it.

    A retry honours Retry-After, in seconds or as a date. Redirects are not followed. The headers Duetime-Task-Id and
    Duetime-Attempt let the receiver recognize a repeated call. It is signed if its origin has a secret.
    """
    client = egress.of_this_loop()
    headers = httpx.Headers(webhook.headers)
    media_type, content = webhook.body() or (None, None)
    if media_type is not None:
        headers.setdefault("Content-Type", media_type)
    headers.update({"Duetime-Task-Id": str(run.task_id), "Duetime-Attempt": str(run.attempt)})
    try:
        request = client.build_request(webhook.method, str(webhook.url), headers=headers, content=content)
    except (httpx.InvalidURL, ValueError) as error:  # ValueError: an invalid international name
        raise handlers.Fail(f"url: {error}") from None
    # Redirects are not followed, so only the origin whose secret it is receives a signature.
    request.headers.update(signer().headers(run, request.url, content or b""))
    target = answers.origin(request.url)
    try:
        response = await client.send(request, stream=True)
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
        # The request itself is invalid, and the error's message may contain its secrets.
        raise handlers.Fail(f"{target} cannot be called: the request is not valid HTTP") from None
    except httpx.RequestError as error:
        raise answers.no_answer(target, error) from error
    try:
        body = await _beginning(response)  # also of a failure, so that the connection can be kept
    finally:
        await response.aclose()
    if not response.is_success:
        raise answers.failure(target, response)
    return {"status_code": response.status_code, "body": body}


async def _beginning(response: httpx.Response) -> str:
    """Returns the beginning of the body, for the task's result. A body may have any size, or never end."""
    content = bytearray()
    # Not decompressed: a small body may decompress to one that fills the memory.
    parts = typing.cast("AsyncGenerator[bytes]", response.aiter_raw())
    with contextlib.suppress(httpx.TransportError, TimeoutError):
        async with asyncio.timeout(_BODY_SECONDS), contextlib.aclosing(parts):
            async for part in parts:
                content += part[: _MAX_BODY_BYTES + 1]
                if len(content) > _MAX_BODY_BYTES:
                    break
    text = content.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= MAX_BODY_CHARACTERS else f"{text[: MAX_BODY_CHARACTERS - 1]}…"
