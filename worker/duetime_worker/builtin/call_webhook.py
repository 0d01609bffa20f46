"""Call Webhook: sends an HTTP request."""

import datetime
import email.utils
import functools
import ssl
from typing import Annotated, Any, Literal

import httpx
import pydantic

from duetime_worker import handlers

TIMEOUT_SECONDS = 30
MAX_ANSWER_CHARACTERS = 2000
_RETRIED = frozenset({408, 429, *range(500, 600)})

HeaderName = Annotated[str, pydantic.Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, pydantic.Field(pattern=r"^[\t\x20-\x7e]*$")]


class Webhook(pydantic.BaseModel, extra="forbid"):
    """The task_data of Call Webhook. `json`, if given, is sent as the body."""

    url: pydantic.HttpUrl
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[HeaderName, HeaderValue] = {}
    body: Annotated[Any, pydantic.Field(alias="json")] = None


@handlers.handler("Call Webhook", timeout=TIMEOUT_SECONDS)
async def call_webhook(run: handlers.Task, webhook: Webhook) -> dict[str, Any]:
    """Calls the URL: 2xx completes; 408, 429 and 5xx, and no answer, are retried; all else fails the task.

    Retry-After, in seconds or as a date, says when. Redirects are not followed. The headers Duetime-Task-Id and
    Duetime-Attempt let the receiver see that a call comes again.
    """
    headers = {"Duetime-Task-Id": str(run.task_id), "Duetime-Attempt": str(run.attempt), **webhook.headers}
    async with (
        httpx.AsyncClient(timeout=None, verify=_ssl_context()) as client,  # noqa: S113 - the run has its timeout
        client.stream(webhook.method, str(webhook.url), headers=headers, json=webhook.body) as response,
    ):
        answer = await _beginning(response)
    if response.is_success:
        return {"status_code": response.status_code, "body": answer}
    problem = f"{_without_secrets(webhook.url)} answered {response.status_code} {response.reason_phrase}"
    if response.status_code in _RETRIED:
        raise handlers.Retry(f"{problem}: {answer}", after=_retry_after(response))
    if response.has_redirect_location:
        raise handlers.Fail(f"{problem}, to {response.headers['Location']}: redirects are not followed")
    raise handlers.Fail(f"{problem}: {answer}")


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reading the certificates takes longer than many a call


async def _beginning(response: httpx.Response) -> str:
    """Returns what fits of the answer, which may be of any length and kind: its task keeps it."""
    text = ""
    async for part in response.aiter_text():
        text += part
        if len(text) > MAX_ANSWER_CHARACTERS:
            text = f"{text[: MAX_ANSWER_CHARACTERS - 1]}…"
            break
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _without_secrets(url: pydantic.HttpUrl) -> str:
    """Returns the URL as an error may tell it: credentials and tokens are in what is left out."""
    port = "" if url.port in (80, 443, None) else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}{url.path or ''}"


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment.astimezone(datetime.UTC) - datetime.datetime.now(datetime.UTC)).total_seconds()
