"""Call Webhook: sends an HTTP request."""

import datetime
import email.utils
from typing import Annotated, Any, Literal

import httpx
import pydantic

from duetime_worker import handlers

TIMEOUT_SECONDS = 30
MAX_ANSWER_CHARACTERS = 2000
_RETRIED = frozenset({408, 429, *range(500, 600)})


class Webhook(pydantic.BaseModel, extra="forbid"):
    """The task_data of Call Webhook. `json`, if given, is sent as the body."""

    url: pydantic.HttpUrl
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[str, str] = {}
    body: Annotated[Any, pydantic.Field(alias="json")] = None


@handlers.handler("Call Webhook", timeout=TIMEOUT_SECONDS)
async def call_webhook(webhook: Webhook) -> dict[str, Any]:
    """Calls the URL: 2xx completes; 408, 429 and 5xx, and no answer, are retried; all else fails the task.

    Retry-After, in seconds or as a date, says when. Redirects are not followed.
    """
    async with (
        httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client,
        client.stream(
            webhook.method,
            str(webhook.url),
            headers=webhook.headers,
            json=webhook.body,
        ) as response,
    ):
        answer = await _beginning(response)
    if response.is_success:
        return {"status_code": response.status_code, "body": answer}
    problem = f"{webhook.url} answered {response.status_code} {response.reason_phrase}: {answer}"
    if response.status_code in _RETRIED:
        raise handlers.Retry(problem, after=_retry_after(response))
    raise handlers.Fail(problem)


async def _beginning(response: httpx.Response) -> str:
    """Returns what fits; the answer may be of any length, and the history keeps it."""
    text = ""
    async for part in response.aiter_text():
        text += part
        if len(text) > MAX_ANSWER_CHARACTERS:
            return text[: MAX_ANSWER_CHARACTERS - 1] + "…"
    return text


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment.astimezone(datetime.UTC) - datetime.datetime.now(datetime.UTC)).total_seconds()
