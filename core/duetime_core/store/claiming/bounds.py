"""From where on claims and sweeps read the indexes of waiting tasks and of leases.

While a transaction anywhere keeps an old snapshot, as a backup does for hours, the entries of all tasks that finished
since stay in those indexes, in front of the waiting ones. So a worker remembers up to where it has taken all, in its
memory, and reads on from there: a claim then costs the same after any number of finished tasks.

`ready_at` is when a row of `waiting` was written, at least: nothing comes to wait behind the bound but rows whose
transaction took long, or was rolled back. Each claim looks a second before now, the first after a sweep ten, and sweeps
read everything, unless that has become slow.
"""

import contextlib
import datetime
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from duetime_core.model import errors
from duetime_core.postgres import schema

_LONG_AGO = datetime.datetime(1, 1, 2, tzinfo=datetime.UTC)
_MARGIN = datetime.timedelta(seconds=1)
"""How long before now a claim still looks: for tasks due now whose creation took that long to commit."""
_SWEEP_MARGIN = datetime.timedelta(seconds=10)
"""The same for the first claim after a sweep: a statement takes at most that long."""
_LEASE_MARGIN = datetime.timedelta(minutes=1)
_FULL_SHARE = 0.01
"""How much of the time looking at everything may take."""
_LONGEST_FULL = 2.0
"""Beyond that, reading everything might reach the statement_timeout, and is not tried again."""
_KEYS_SECONDS = 60.0
"""How often all keys and due tasks of a queue with limits per key are examined, in case one was passed over."""

HERE = "statement_timestamp() - CAST(:margin AS interval)"


def after(due_time: str, task_id: str) -> str:
    """Returns the condition that a task comes after that due time and id, or is due within `:margin` before now."""
    is_before = f"{due_time} < {HERE}"
    return f"(ready_at, task_id) > (least({due_time}, {HERE}), CASE WHEN {is_before} THEN {task_id} ELSE 0 END)"


class _Full:
    """When everything is read again, so that this takes a small share of the time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_at = -math.inf

    @property
    def is_due(self) -> bool:
        return self._clock() >= self._next_at

    @contextlib.contextmanager
    def timing(self) -> Iterator[None]:
        began = self._clock()
        yield
        took = self._clock() - began
        self._next_at = math.inf if took > _LONGEST_FULL else began + took / _FULL_SHARE


class Bounds:
    """From where on the due tasks of one queue are read, by level: those before are claimed, or were locked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._full = _Full(clock)
        self._is_sweep = True
        self.is_sweep = True
        """Whether the present claim is the first after a sweep."""
        self._margin = _SWEEP_MARGIN
        self._reset()

    def _reset(self) -> None:
        self._times = [_LONG_AGO] * (schema.MAX_LEVEL + 1)
        self._ids = [0] * (schema.MAX_LEVEL + 1)
        self._now = _LONG_AGO
        self.of_keys: KeyedBounds | None = None

    def begin_at(self, moment: datetime.datetime) -> None:
        """Moves all bounds to `moment`."""
        self._times = [moment] * len(self._times)

    def use_keys(self, now: datetime.datetime) -> "KeyedBounds":
        """Returns the bounds for claims within limits per key, which leave tasks behind; then these begin anew."""
        if self.of_keys is None:
            self._reset()
            self.of_keys = KeyedBounds(now)
        return self.of_keys

    def sweep(self) -> None:
        """Has the next claim look further back, or at everything."""
        self._is_sweep = True

    @contextlib.contextmanager
    def look(self) -> Iterator[dict[str, Any]]:
        """Yields the parameters of a claim. If it fails, as after a failover, what is known is forgotten."""
        self.is_sweep, self._is_sweep = self._is_sweep, False
        is_full = self.is_sweep and self._full.is_due
        self._margin = _SWEEP_MARGIN if self.is_sweep else _MARGIN
        if self.of_keys is not None:
            if self.is_sweep:
                self.of_keys.sweep()
        elif is_full:
            self._reset()
        try:
            with self._full.timing() if is_full else contextlib.nullcontext():
                yield self.parameters
        except errors.QueueBusy:  # it looked at nothing
            self._is_sweep |= self.is_sweep
            raise
        except BaseException:
            self._reset()
            raise

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements that `after` and `statements` have them in."""
        return {
            "since": list(self._times),
            "since_ids": list(self._ids),
            "margin": self._margin,
        }

    def learn(self, last: tuple[int, datetime.datetime, int] | None, *, is_full: bool, now: datetime.datetime) -> None:
        """Moves the bounds after a claim at `now`, of which `last` is the level, ready_at and task_id of the last task.

        If the claim was not full, it took all that it found. A clock that was set back makes the bounds meaningless.
        """
        self.of_keys = None
        if now < self._now:
            self._reset()
            return
        self._now = now
        lowest, at, task_id = last if is_full and last is not None else (-1, now, 0)
        for level in range(len(self._times)):
            if level > lowest:
                self._times[level], self._ids[level] = now, 0
            elif level == lowest:
                self._times[level], self._ids[level] = at, task_id


class KeyedBounds:
    """Up to where the due tasks of a queue with limits per key were examined.

    Each task before was claimed, or its key has a row in `queue_keys` by which it is found again. What was due before
    this worker looked for the first time is examined in steps, apart from what falls due now.
    """

    def __init__(self, now: datetime.datetime, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.ended: set[str] = set()
        """Keys of which a run has ended."""
        self.new = Bounds()
        self.new.begin_at(now - _SWEEP_MARGIN)
        self.look_at_all()

    def sweep(self) -> None:
        """Has claims examine everything again, once a minute."""
        if self._clock() > self._looked_at + _KEYS_SECONDS:
            self.look_at_all()

    def look_at_all(self) -> None:
        """Has claims examine all due tasks, and all keys with waiting tasks, again."""
        self._looked_at = self._clock()
        self.old: Bounds | None = Bounds()
        self.after_key: str | None = ""
        """The last key that was examined of all with waiting tasks; None after the last one."""


class LeaseBound:
    """From when on the leases of running tasks expire: those that expired before are reclaimed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._full = _Full(clock)
        self._since = _LONG_AGO

    @contextlib.contextmanager
    def look(self) -> Iterator[dict[str, Any]]:
        """Yields the parameters of a reclaim. If it fails, as after a failover, what is known is forgotten."""
        is_full = self._full.is_due
        if is_full:
            self._since = _LONG_AGO
        try:
            with self._full.timing() if is_full else contextlib.nullcontext():
                yield {"since": self._since, "margin": _LEASE_MARGIN}
        except errors.StoreUnavailable:
            self._since = _LONG_AGO
            raise

    def learn(self, first_at: datetime.datetime | None, *, now: datetime.datetime) -> None:
        """Moves the bound to the first expired lease that the reclaim saw, or to `now`: it may have left it locked."""
        self._since = first_at or now
