"""What may be told of the calls that Call Webhook makes."""

import urllib.parse

import httpx

from duetime_core import builtin

_MIN_SECRET_CHARACTERS = 4
"""Hiding what is shorter would only garble the text."""


def origin(url: httpx.URL) -> str:
    """Returns the part of a URL that is never secret: `https://example.com`. Tokens are in paths and queries."""
    return f"{url.scheme}://{url.netloc.decode()}"


def without_secrets(text: str, request: httpx.Request, webhook: builtin.Webhook) -> str:
    """Returns what a receiver answered without what it repeated of the URL and the headers, as many do."""
    url = request.url
    queried = [value for pair in urllib.parse.parse_qsl(url.query.decode()) for value in pair[1:]]
    secrets = {url.raw_path.decode(), url.path, url.query.decode(), url.username, url.password, *queried}
    secrets |= {part for value in webhook.headers.values() for part in (value, *value.split())}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "/…" if secret.startswith("/") else "…")
    return text
