"""Logs once that a dependency became unavailable, and once that it recovered."""

import time

import structlog

_log = structlog.get_logger()


class Outage:
    """Tracks whether `what` is available; `consequence` is logged with the beginning of an outage.

    If only some calls fail, as on a full disk, the outage ends once none has failed for `quiet_seconds`.
    """

    def __init__(self, what: str, consequence: str, *, quiet_seconds: float = 0) -> None:
        self._what = what
        self._consequence = consequence
        self._quiet_seconds = quiet_seconds
        self._is_on = False
        self._latest = 0.0  # the last failure

    def begin(self, error: BaseException) -> None:
        """Records a failed call."""
        self._latest = time.monotonic()
        if not self._is_on:
            self._is_on = True
            cause = error.__cause__ or error  # the driver's own error, if ours wraps it
            message = next(iter(str(cause).splitlines()), type(cause).__name__)
            _log.warning(f"{self._what} {self._state(error)}; {self._consequence}", error=message)

    def _state(self, error: BaseException) -> str:
        """Returns what the error says of it."""
        return "is unavailable"

    def end(self) -> None:
        """Records a successful call."""
        if self._is_on and time.monotonic() - self._latest >= self._quiet_seconds:
            self._is_on = False
            _log.info(f"{self._what} recovered")
