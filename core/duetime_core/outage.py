"""Saying once that something is gone, and once that it is back, however often it is asked in between."""

import structlog

_log = structlog.get_logger()


class Outage:
    """Follows whether `what` can be reached; `consequence` tells people what that means meanwhile."""

    def __init__(self, what: str, consequence: str) -> None:
        self._what = what
        self._consequence = consequence
        self._is_on = False

    def begin(self, error: BaseException) -> None:
        """Notes that it could not be reached."""
        if not self._is_on:
            self._is_on = True
            cause = error.__cause__ or error  # what the driver said, where the error is ours
            said = next(iter(str(cause).splitlines()), type(cause).__name__)
            _log.warning(f"{self._what} is gone; {self._consequence}", error=said)

    def end(self) -> None:
        """Notes that it answered."""
        if self._is_on:
            self._is_on = False
            _log.info(f"{self._what} is back")
