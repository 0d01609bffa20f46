"""What the other side's answer, or its silence, means for the task; errors name its origin and the status alone."""

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
_RETRIED = frozenset({408, 425, 429, *range(500, 600)})


def origin(url: httpx.URL) -> str:
    """Returns the part of a URL that is never secret: `https://example.com`. Tokens are in paths and queries."""
    return f"{url.scheme}://{url.netloc.decode()}"


def no_answer(target: str, error: httpx.RequestError) -> handlers.Retry:
    """Returns the error of a call that failed before it had an answer."""
    # What came instead of an answer says which program listens there, and may repeat secrets.
    problem = "" if isinstance(error, httpx.RemoteProtocolError) else str(error)
    return handlers.Retry(f"{target} did not answer: {type(error).__name__}: {problem}".rstrip(": "))


def failure(target: str, response: httpx.Response) -> handlers.Retry | handlers.Fail:
    """Returns the error of an answer that is no success: 408, 425, 429 and 5xx are retried when Retry-After says."""
    status = response.status_code
    problem = f"{target} answered {status} {_phrase(status)}".rstrip()
    if status in _REDIRECTS:
        problem += f", a redirect{_leading_to(response)}: redirects are not followed"
    if status in _RETRIED:
        return handlers.Retry(problem, after=_retry_after(response.headers.get("Retry-After", "")))
    return handlers.Fail(problem)


def _phrase(status: int) -> str:
    # What the other side wrote there may repeat secrets of the call.
    return http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""


def _leading_to(response: httpx.Response) -> str:
    if "Location" not in response.headers:
        return ""
    found = origin(response.url.join(response.headers["Location"]))
    return f" to {found}" if _ORIGIN.fullmatch(found) else ""


def _retry_after(value: str) -> float | None:
    """Returns the seconds to wait, at most MAX_RETRY_AFTER; None, for the retry policy, if it does not say more."""
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", value, re.ASCII):
        seconds = float(value)
    else:
        try:
            moment = email.utils.parsedate_to_datetime(value)
            if moment.tzinfo is None:  # "-0000", and the form of asctime
                moment = moment.replace(tzinfo=datetime.UTC)
            seconds = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return math.ceil(min(seconds, MAX_RETRY_AFTER.total_seconds())) if seconds > 0 else None
