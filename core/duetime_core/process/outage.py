"""Saying once that something is gone, and once that it is back, however often it is asked in between."""

import time

import structlog

_log = structlog.get_logger()


class Outage:
    """Follows whether `what` can be reached; `consequence` tells people what that means meanwhile.

    Where only some of what is asked fails, as on a full disk, it has ended once nothing failed for `quiet_seconds`.
    """

    def __init__(self, what: str, consequence: str, *, quiet_seconds: float = 0) -> None:
        self._what = what
        self._consequence = consequence
        self._quiet_seconds = quiet_seconds
        self._is_on = False
        self._latest = 0.0  # when it could not be reached last

    def begin(self, error: BaseException) -> None:
        """Notes that it could not be reached."""
        self._latest = time.monotonic()
        if not self._is_on:
            self._is_on = True
            cause = error.__cause__ or error  # what the driver said, where the error is ours
            said = next(iter(str(cause).splitlines()), type(cause).__name__)
            _log.warning(f"{self._what} is gone; {self._consequence}", error=said)

    def end(self) -> None:
        """Notes that it answered."""
        if self._is_on and time.monotonic() - self._latest >= self._quiet_seconds:
            self._is_on = False
            _log.info(f"{self._what} is back")
