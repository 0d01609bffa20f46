"""Maps HTTP responses and failed calls to Retry or Fail. Their messages contain only the origin and the status."""

import datetime
import email.utils
import http
import math
import re

import httpx

from duetime_worker import handlers

MAX_RETRY_AFTER = datetime.timedelta(days=1)
_ORIGIN = re.compile(r"[a-z]+://[a-z0-9.:\[\]_-]{1,260}", re.ASCII | re.IGNORECASE)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_CLOCK_SECONDS = 60
"""Receivers usually tolerate 300 s. Less than this is the time that the call took."""
_RETRIED = frozenset({408, 425, 429, *range(500, 600)})


def origin(url: httpx.URL) -> str:
    """Returns the part of a URL without secrets: `https://example.com`. Paths and queries may contain tokens."""
    return f"{url.scheme}://{url.netloc.decode()}"


def no_answer(target: str, error: httpx.RequestError) -> handlers.Retry:
    """Returns the error for a call without a response."""
    # The bytes received instead of a response reveal which program listens there, and may repeat secrets.
    problem = "" if isinstance(error, httpx.RemoteProtocolError) else str(error)
    return handlers.Retry(f"{target} did not answer: {type(error).__name__}: {problem}".rstrip(": "))


def failure(target: str, response: httpx.Response) -> handlers.Retry | handlers.Fail:
    """Returns the error for a status other than 2xx: Retry for 408, 425, 429 and 5xx, else Fail."""
    status = response.status_code
    problem = f"{target} answered {status} {_phrase(status)}".rstrip()
    if status in _REDIRECTS:
        problem += f", a redirect{_location(response)}: redirects are not followed"
    if status in _RETRIED:
        return handlers.Retry(problem, after=_retry_after(response.headers.get("Retry-After", "")))
    return handlers.Fail(problem + _clock_difference(response))


def _clock_difference(response: httpx.Response) -> str:
    """Returns why a receiver may have refused a signed call: it compares the timestamp with its own clock."""
    signed_at = response.request.headers.get("webhook-timestamp")
    date = _moment(response.headers.get("Date", ""))
    if signed_at is None or date is None:
        return ""
    seconds = round(date.timestamp()) - int(signed_at)
    if abs(seconds) < _SAME_CLOCK_SECONDS:
        return ""
    return f"; its clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} the signature's timestamp"


def _phrase(status: int) -> str:
    # The server's own reason phrase may repeat secrets of the request.
    return http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""


def _location(response: httpx.Response) -> str:
    if "Location" not in response.headers:
        return ""
    found = origin(response.url.join(response.headers["Location"]))
    return f" to {found}" if _ORIGIN.fullmatch(found) else ""


def _retry_after(value: str) -> float | None:
    """Returns the seconds to wait, at most MAX_RETRY_AFTER; None, for the retry policy, if the header has none."""
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value, re.ASCII):
        seconds = float(value)
    else:
        moment = _moment(value)
        if moment is None:
            return None
        seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    return math.ceil(min(seconds, MAX_RETRY_AFTER.total_seconds())) if seconds > 0 else None


def _moment(value: str) -> datetime.datetime | None:
    """Parses a header's date; None for an invalid one."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
        if moment.tzinfo is None:  # "-0000", and asctime's format
            moment = moment.replace(tzinfo=datetime.UTC)
        return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        return None
