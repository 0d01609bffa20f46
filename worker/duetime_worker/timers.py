"""Timers: when this worker polls a queue next, and when idle workers are called to it."""

import asyncio
import datetime
from collections.abc import Callable

from duetime_core.model import namespace
from duetime_core.redis import doorbell, wakeup

_LONG_AGO = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_ZERO = datetime.timedelta(0)
_CALL_INTERVAL = datetime.timedelta(milliseconds=100)
"""The least time between two calls: this worker itself may have answered the last one, or a busy one."""
_MARGIN_SECONDS = 0.0005
"""Timers fire a little late rather than early: an early poll claims nothing and has to be repeated."""


class Timers:
    """The timers of a worker, by queue. Times are by the database's clock."""

    def __init__(self, bell: doorbell.Doorbell, poll: Callable[[str], None]) -> None:
        self._bell = bell
        self._poll = poll
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._called_at: dict[str, datetime.datetime] = {}  # the last call, which may be still to come

    def schedule(self, queue: str, due_at: datetime.datetime, *, now: datetime.datetime) -> None:
        """Polls the queue when its next task is due, and wakes any free worker one slot later.

        Later tasks than the wakeups' horizon are left to the sweep.
        """
        if due_at - now > wakeup.HORIZON:
            return
        self._bell.arm(namespace.current(), queue, due_at + wakeup.SLOT, now=now)
        if (timer := self._timers.get(queue)) is not None:
            timer.cancel()
        delay = (due_at - now).total_seconds() + _MARGIN_SECONDS
        self._timers[queue] = asyncio.get_running_loop().call_later(delay, self._poll, queue)

    def call_idle_workers(self, queue: str, now: datetime.datetime) -> None:
        """Arms a wakeup for idle workers, at most ten times a second; a call that is too soon is delayed."""
        since = now - self._called_at.get(queue, _LONG_AGO)
        if -_CALL_INTERVAL <= since < _ZERO:
            return  # the delayed call is still to come
        at = now + _CALL_INTERVAL - since if _ZERO <= since < _CALL_INTERVAL else now
        self._called_at[queue] = at
        self._bell.arm(namespace.current(), queue, at, now=now)
