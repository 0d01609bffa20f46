"""Failures that the code does not expect: logged once with their traceback, then counted, and retried with backoff."""

from typing import Any

import structlog

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 5.0
"""A third of a lease: a lease keeper that failed can extend the leases yet."""

_log = structlog.get_logger()


class Failures:
    """Failures in a row of one service, or of one part of its work; `fields` name it in the log."""

    def __init__(self, event: str, **fields: Any) -> None:
        self._event = event
        self._fields = fields
        self.count = 0

    def add(self, error: BaseException, *, retry_seconds: float | None = None) -> float:
        """Logs a failure, the first of a row with its traceback; returns after how many seconds to retry.

        Without `retry_seconds` it is a backoff.
        """
        backoff = min(FIRST_SECONDS * 2.0 ** min(self.count, 10), LONGEST_SECONDS)
        seconds = backoff if retry_seconds is None else retry_seconds
        self.count += 1
        cause: dict[str, Any] = {"exc_info": error}
        if self.count > 1:
            message = next(iter(str(error).splitlines()), "")
            cause = {"error": f"{type(error).__name__}: {message}"}
        _log.error(self._event, **self._fields, count=self.count, retry_seconds=seconds, **cause)
        return seconds

    def end(self) -> None:
        """Ends the row: the next failure is logged with its traceback again."""
        self.count = 0
