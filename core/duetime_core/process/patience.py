"""How long a call that changes many rows waits for those that another session has locked."""

import asyncio
import time

SECONDS = 1.0
"""How long it waits in vain. Then it returns, and its caller may call again."""
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25


class Patience:
    """The pauses between two looks at rows that were locked, until a time by the monotonic clock."""

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._since = time.monotonic()
        self._pause = _FIRST_PAUSE

    async def wait(self, *, has_progress: bool) -> bool:
        """Pauses before another look; returns False at once if it should not be made any more.

        `has_progress` is whether the last look found a row that it could change.
        """
        now = time.monotonic()
        if has_progress:
            self._since, self._pause = now, _FIRST_PAUSE
        left = min(self._ends, self._since + SECONDS) - now
        if left <= 0:
            return False
        await asyncio.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return True
