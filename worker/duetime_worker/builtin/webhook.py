"""The calls that Call Webhook makes: what task_data says of them, and what may be told of them."""

import json
import re
import urllib.parse
from typing import Annotated, Any, Literal

import httpx
import pydantic

_SET_BY_THE_BODY = frozenset({"content-length", "transfer-encoding"})
_MIN_SECRET_CHARACTERS = 4
"""Hiding what is shorter would only garble the text."""


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError("is not the name of a header")
    if name.lower() in _SET_BY_THE_BODY:
        raise ValueError("is set by the body")
    return name


def _check_value(value: str) -> str:
    if not re.fullmatch(r"[\t\x20-\x7e]*", value):
        raise ValueError("must be printable ASCII, on one line")
    return value.strip()


class Webhook(pydantic.BaseModel, extra="forbid"):
    """The task_data of Call Webhook. `json`, if given, is sent as the body."""

    url: pydantic.HttpUrl
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[
        Annotated[str, pydantic.AfterValidator(_check_name)], Annotated[str, pydantic.AfterValidator(_check_value)]
    ] = {}
    body: Annotated[Any, pydantic.Field(alias="json")] = None

    @property
    def content(self) -> bytes | None:
        """The body to send: None for none, which is not the same as `null`."""
        if "body" not in self.model_fields_set:
            return None
        return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()


def origin(url: httpx.URL) -> str:
    """Returns the part of a URL that is never secret: `https://example.com`. Tokens are in paths and queries."""
    return f"{url.scheme}://{url.netloc.decode()}"


def without_secrets(text: str, request: httpx.Request, webhook: Webhook) -> str:
    """Returns what a receiver answered without what it repeated of the URL and the headers, as many do."""
    url = request.url
    queried = [value for pair in urllib.parse.parse_qsl(url.query.decode()) for value in pair[1:]]
    secrets = {url.raw_path.decode(), url.path, url.query.decode(), url.username, url.password, *queried}
    secrets |= {part for value in webhook.headers.values() for part in (value, *value.split())}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "/…" if secret.startswith("/") else "…")
    return text
