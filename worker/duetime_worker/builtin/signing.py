"""Signs the calls of Call Webhook as Standard Webhooks does, with a secret that only their receiver knows too.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import datetime
import hmac
import time
from collections.abc import Mapping, Sequence

import httpx

from duetime_payloads import private_file
from duetime_worker import handlers
from duetime_worker.egress import address, rule

_PREFIX = "whsec_"
_BYTES = range(24, 65)
"""What the specification allows for a secret."""
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

Origin = tuple[str, bytes, int]
"""Scheme, host and port of a URL, as it is called."""


class Signer:
    """Has the secrets of each receiver, by its origin. Its repr shows none."""

    def __init__(self, secrets: Mapping[Origin, Sequence[bytes]]) -> None:
        self._secrets = secrets

    def headers(self, run: handlers.Task, url: httpx.URL, content: bytes) -> dict[str, str]:
        """Returns the headers that sign a call now, with a signature for each secret; none without a secret.

        All runs of a task have the same webhook-id.
        """
        secrets = self._secrets.get(_origin(url))
        if secrets is None:
            return {}
        webhook_id = f"{run.task_id}-{(run.created_at - _EPOCH) // datetime.timedelta(microseconds=1)}"
        timestamp = str(int(time.time()))
        signed = f"{webhook_id}.{timestamp}.".encode() + content
        signatures = (base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets)
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }


def read(path: str) -> Signer:
    """Reads a file of secrets: in each line an origin, followed by its secrets. Empty lines and `#` are skipped.

    Raises ValueError, with the line's number and what would be right. It quotes nothing that may be a secret.
    """
    secrets: dict[Origin, list[bytes]] = {}

    def add(line: str) -> None:
        origin, *given = line.split()
        known = secrets.setdefault(_parse_origin(origin), [])
        if known:
            raise ValueError("the origin is listed twice: write all its secrets in one line")
        if not given:
            raise ValueError(f"the origin has no secret: write it behind it, after a space. {_FORM}")
        known.extend(map(_parse_secret, given))

    private_file.read(path, add, what="secret", is_value=lambda text: _PREFIX in text)
    if not secrets:
        raise ValueError(f"{path} has no secrets; a line is an origin and its secret: {_EXAMPLE}")
    return Signer(secrets)


_EXAMPLE = "https://hooks.example.com whsec_…"
_FORM = (
    f"A secret is {_PREFIX} and the base64 of {_BYTES[0]} to {_BYTES[-1]} random bytes: "
    'echo "whsec_$(openssl rand -base64 32)"'
)


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)


def _parse_origin(text: str) -> Origin:
    try:
        url = httpx.URL(text)
        host = rule.Rule.parse(address.show(url.raw_host.decode(), url.port or 443))
        is_origin = url.scheme in ("http", "https") and url.raw_path == b"/" and not host.name.startswith("*")
    except (httpx.InvalidURL, ValueError):
        is_origin = False
    if not is_origin or url.userinfo or url.fragment:
        raise ValueError(
            "the first word must be the origin of one receiver, such as https://hooks.example.com or "
            "http://10.1.2.3:9000: no path, no user, no pattern"
        )
    return _origin(url)


def _parse_secret(text: str) -> bytes:
    try:
        if not text.startswith(_PREFIX):
            raise ValueError
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is invalid. {_FORM}") from None
    if len(secret) not in _BYTES:
        raise ValueError(f"a secret has {len(secret)} bytes. {_FORM}")
    return secret
