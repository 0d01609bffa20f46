"""Call Webhook: sends an HTTP request."""

import asyncio
import contextlib
import datetime
import email.utils
import http.cookiejar
import typing
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from duetime_core import builtin
from duetime_worker import handlers
from duetime_worker.builtin import webhook as webhooks

CONNECT_SECONDS = 10
MAX_ANSWER_CHARACTERS = 2000
_MAX_ANSWER_BYTES = 4 * MAX_ANSWER_CHARACTERS
_ANSWER_SECONDS = 5
"""The status decides. What the receiver says besides is kept if it comes soon."""
MAX_RETRY_AFTER = datetime.timedelta(days=1)
_IDLE_SECONDS = 2
"""How long a connection waits for the next call. Many servers close theirs after 5 s, maybe just as it is used."""
_RETRIED = frozenset({408, 429, *range(500, 600)})

_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = weakref.WeakKeyDictionary()


@handlers.handler(builtin.CALL_WEBHOOK.name, timeout=builtin.CALL_WEBHOOK.timeout.total_seconds())
async def call_webhook(run: handlers.Task, webhook: builtin.Webhook) -> dict[str, Any]:
    """Calls the URL: 2xx completes; 408, 429 and 5xx, and no answer, are retried; all else fails the task.

    Retry-After, in seconds or as a date, says when. Redirects are not followed. The headers Duetime-Task-Id and
    Duetime-Attempt let the receiver see that a call comes again.
    """
    client = _client()
    content = webhook.content
    headers = httpx.Headers(webhook.headers)
    if content is not None:
        headers.setdefault("Content-Type", "application/json")
    headers.update({"Duetime-Task-Id": str(run.task_id), "Duetime-Attempt": str(run.attempt)})
    try:
        request = client.build_request(webhook.method, str(webhook.url), headers=headers, content=content)
    except httpx.InvalidURL as error:
        raise handlers.Fail(f"url: {error}") from None
    target = webhooks.origin(request.url)
    try:
        response = await client.send(request, stream=True)
    except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
        # What is wrong is in the request, and the error may tell its secrets.
        raise handlers.Fail(f"{target} cannot be called like this: HTTP does not allow the request") from None
    except httpx.RequestError as error:
        raise handlers.Retry(f"{target} did not answer: {type(error).__name__}: {error}".rstrip(": ")) from error
    try:
        answer = await _beginning(response)
    finally:
        await response.aclose()
    if response.is_success:
        return {"status_code": response.status_code, "body": answer}
    problem = f"{target} answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.has_redirect_location:
        location = webhooks.without_secrets(response.headers["Location"], request, webhook)
        problem += f", to {location}: redirects are not followed"
    elif answer:
        problem += f": {webhooks.without_secrets(answer, request, webhook)}"
    if response.status_code in _RETRIED:
        raise handlers.Retry(problem, after=_retry_after(response.headers.get("Retry-After", "")))
    raise handlers.Fail(problem)


def _client() -> httpx.AsyncClient:
    """Returns the client of this loop, which keeps connections for the next calls. They end with the process."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        client = _clients[loop] = httpx.AsyncClient(
            # The run has a timeout, and the worker has places: nothing else limits a call.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=_IDLE_SECONDS),
            headers={"User-Agent": "Duetime", "Accept-Encoding": "identity"},
            # One task's cookies are not for another's.
            cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        )
    return client


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


def _retry_after(value: str) -> float | None:
    """Returns the seconds to wait, at most MAX_RETRY_AFTER; None, for the retry policy, if it does not say more."""
    if value.isdecimal():
        seconds = float(value)
    else:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:  # "-0000"
            moment = moment.replace(tzinfo=datetime.UTC)
        seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    return min(seconds, MAX_RETRY_AFTER.total_seconds()) if seconds > 0 else None
