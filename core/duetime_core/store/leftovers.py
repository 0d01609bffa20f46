"""When, and where, rows are looked for that were left behind a floor."""

import datetime
import time
from collections.abc import Callable

LONG_AGO = datetime.datetime(1, 1, 2, tzinfo=datetime.UTC)


class Left:
    """Which part of what is before the bounds is looked at next: all of it, or slices if that is slow.

    A slice that is fast doubles, so that slices go back over years in few steps, however many entries of finished tasks
    the last hours have.
    """

    SLOWEST = 0.5
    """A look ends after that many seconds, and counts as slow."""
    _FAST = 0.1
    """Well above the four round trips of a look to a distant database, which no shorter slice saves."""
    _FIRST = datetime.timedelta(hours=1)
    _LEAST = datetime.timedelta(milliseconds=1)
    """From nothing, slices would never grow again."""
    _SHARE = 0.01
    """How much of the time these looks may take."""
    _SECONDS, _IDLE_SECONDS = 5.0, 60.0
    """How often, at most, and if nothing was claimed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_at = self._hurried_at = clock()
        self._span: datetime.timedelta | None = None  # all
        self._before: datetime.datetime | None = None  # the bounds

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next look."""
        return self._clock() >= self._next_at

    @property
    def is_complete(self) -> bool:
        """Whether the last look ended a pass over all that is before the bounds."""
        return self._span is None

    def hurry(self) -> None:
        """Notes that tasks were claimed."""
        self._next_at = min(self._next_at, self._hurried_at)

    def slice(self, now: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
        """Returns the times between which to look."""
        before = self._before or now
        if self._span is None or before - LONG_AGO <= self._span:
            return LONG_AGO, before
        return before - self._span, before

    def looked(self, since: datetime.datetime, *, began: float, is_done: bool) -> None:
        """Chooses the next slice, after a look from `since` on that ended before it was slow if it `is_done`."""
        took = self._clock() - began
        self._hurried_at = began + max(took / self._SHARE, self._SECONDS)
        self._next_at = max(self._hurried_at, began + self._IDLE_SECONDS)
        if not is_done:
            self._span = self._FIRST if self._span is None else max(self._span / 8, self._LEAST)
        elif since == LONG_AGO:
            self._span, self._before = None, None
        else:
            self._before = since
            if took < self._FAST:
                assert self._span is not None
                self._span *= 2
