"""Call Webhook: sends an HTTP request."""

import asyncio
import contextlib
import typing
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from duetime_core.model import builtin
from duetime_worker import handlers
from duetime_worker.egress import answers
from duetime_worker.egress import client as egress

MAX_ANSWER_CHARACTERS = 2000
_MAX_ANSWER_BYTES = 4 * MAX_ANSWER_CHARACTERS
_ANSWER_SECONDS = 5
"""The status decides. What the receiver says besides is kept if it comes soon."""


@handlers.built_in(builtin.CALL_WEBHOOK)
async def call_webhook(run: handlers.Task, webhook: builtin.Webhook) -> dict[str, Any]:
    """Calls the URL: 2xx completes; 408, 425, 429 and 5xx, and no answer, are retried; all else fails the task.

    Retry-After, in seconds or as a date, says when. Redirects are not followed. The headers Duetime-Task-Id and
    Duetime-Attempt let the receiver see that a call comes again.
    """
    client = egress.of_this_loop()
    headers = httpx.Headers(webhook.headers)
    media_type, content = webhook.body() or (None, None)
    if media_type is not None:
        headers.setdefault("Content-Type", media_type)
    headers.update({"Duetime-Task-Id": str(run.task_id), "Duetime-Attempt": str(run.attempt)})
    try:
        request = client.build_request(webhook.method, str(webhook.url), headers=headers, content=content)
    except (httpx.InvalidURL, ValueError) as error:  # the latter for international names that are none
        raise handlers.Fail(f"url: {error}") from None
    target = answers.origin(request.url)
    try:
        response = await client.send(request, stream=True)
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
        # What is wrong is in the request, and the error may tell its secrets.
        raise handlers.Fail(f"{target} cannot be called like this: HTTP does not allow the request") from None
    except httpx.RequestError as error:
        raise answers.no_answer(target, error) from error
    try:
        answer = await _beginning(response)  # of a failure too: the connection is kept
    finally:
        await response.aclose()
    if not response.is_success:
        raise answers.failure(target, response)
    return {"status_code": response.status_code, "body": answer}


async def _beginning(response: httpx.Response) -> str:
    """Returns what fits of the answer, which may be of any length and kind, or never end: its task keeps it."""
    content = bytearray()
    # Undecoded: a small answer may unpack into one that fills the memory.
    parts = typing.cast("AsyncGenerator[bytes]", response.aiter_raw())
    with contextlib.suppress(httpx.TransportError, TimeoutError):
        async with asyncio.timeout(_ANSWER_SECONDS), contextlib.aclosing(parts):
            async for part in parts:
                content += part[: _MAX_ANSWER_BYTES + 1]
                if len(content) > _MAX_ANSWER_BYTES:
                    break
    text = content.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text if len(text) <= MAX_ANSWER_CHARACTERS else f"{text[: MAX_ANSWER_CHARACTERS - 1]}…"
