"""From where on claims read the indexes of waiting tasks.

While a transaction anywhere keeps an old snapshot, as a backup does for hours, the entries of all tasks that finished
since stay in those indexes, in front of the waiting ones. So a worker remembers up to where it has taken all, and reads
on from there: a claim then costs the same after any number of finished tasks. It begins where others noted that they
have arrived; see `floors`.

`ready_at` is when a row of `waiting` was written, at least: nothing comes to wait behind the bound but rows whose
transaction took long, or was rolled back. Each claim looks a second before now, the first after a sweep ten, and
`floors.stamp_left` finds what is left behind even so.
"""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from duetime_core.model import errors
from duetime_core.postgres import schema
from duetime_core.store import encoding, leftovers

_MARGIN = datetime.timedelta(seconds=1)
"""How long before now a claim still looks: for tasks due now whose creation took that long to commit."""
_SWEEP_MARGIN = datetime.timedelta(seconds=10)
"""The same for the first claim after a sweep: a statement takes at most that long."""
_STEPPED_MARGIN = datetime.timedelta(minutes=1)
"""The same after the database's clock was set back: for what came to wait between two claims."""
_NOTE_SECONDS = 10.0
"""How often bounds are noted for others, at most."""
_KEYS_SECONDS = 60.0
"""How often all keys and due tasks of a queue with limits per key are examined, in case one was passed over."""

HERE = "statement_timestamp() - CAST(:margin AS interval)"


def after(due_time: str, task_id: str) -> str:
    """Returns the condition that a task comes after that due time and id, or is due within `:margin` before now."""
    is_before = f"{due_time} < {HERE}"
    return f"(ready_at, task_id) > (least({due_time}, {HERE}), CASE WHEN {is_before} THEN {task_id} ELSE 0 END)"


class Bounds:
    """From where on the due tasks of one queue are read, by level: those before are claimed, or were locked."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted_at = clock() - _NOTE_SECONDS
        self._has_moved = False
        self._now = leftovers.LONG_AGO
        self.ahead: datetime.datetime | None = None
        """The latest time by the database's clock before it was set back: rows may be stamped up to that."""
        self.left = leftovers.Left(clock)
        """What was left behind."""
        self._is_sweep = True
        self.is_sweep = True
        """Whether the present claim is the first after a sweep."""
        self._margin = _SWEEP_MARGIN
        self._reset()

    def _reset(self) -> None:
        self._times = [leftovers.LONG_AGO] * (schema.MAX_LEVEL + 1)
        self._ids = [0] * (schema.MAX_LEVEL + 1)
        self.is_new = True
        """Whether nothing is known: then they may begin where other workers have arrived."""
        self.of_keys: KeyedBounds | None = None

    def begin(self, times: Sequence[datetime.datetime] | None, now: datetime.datetime) -> None:
        """Moves the bounds to where other workers had arrived; `now` is by the database's clock."""
        self.is_new = False
        if times is not None:
            self._times = list(times)
            self._step_back(max(times), now)

    def _step_back(self, before: datetime.datetime, now: datetime.datetime) -> None:
        if now < before:
            self.ahead = before if self.ahead is None else max(self.ahead, before)
            self._times = [min(moment, now - _STEPPED_MARGIN) for moment in self._times]
            self._ids = [0] * len(self._ids)

    def to_note(self) -> list[datetime.datetime] | None:
        """Returns the bounds, less a minute, if they are to be noted for others now."""
        if not self._has_moved or self.is_new or self._clock() < self._noted_at + _NOTE_SECONDS:
            return None
        self._noted_at, self._has_moved = self._clock(), False
        latest = self._now - _STEPPED_MARGIN
        return [min(moment, latest) for moment in self._times]

    @classmethod
    def exact(cls, times: Sequence[datetime.datetime]) -> "Bounds":
        """Returns bounds at those times, before which others look."""
        bounds = cls()
        bounds._times = list(times)
        bounds._margin = datetime.timedelta(0)
        return bounds

    def use_keys(self, now: datetime.datetime) -> "KeyedBounds":
        """Returns the bounds for claims within limits per key, which leave tasks behind; then these begin anew."""
        if self.of_keys is None:
            floor = [min(moment, now - _STEPPED_MARGIN) for moment in self._times]
            self._reset()
            self.is_new = self._has_moved = False
            self.of_keys = KeyedBounds(now, floor)
        return self.of_keys

    def sweep(self) -> None:
        """Has the next claim look further back."""
        self._is_sweep = True

    @property
    def is_next_sweep(self) -> bool:
        """Whether the next claim is the first after a sweep."""
        return self._is_sweep

    @contextlib.contextmanager
    def look(self) -> Iterator[dict[str, Any]]:
        """Yields the parameters of a claim. If it fails, as after a failover, what is known is forgotten."""
        self.is_sweep, self._is_sweep = self._is_sweep, False
        self._margin = _SWEEP_MARGIN if self.is_sweep else _MARGIN
        if self.of_keys is not None and self.is_sweep:
            self.of_keys.sweep()
        try:
            yield self.parameters
        except errors.QueueBusy:  # it looked at nothing
            self._is_sweep |= self.is_sweep
            raise
        except BaseException:
            self._reset()
            raise

    @property
    def times(self) -> list[datetime.datetime]:
        """The bound of each level."""
        return list(self._times)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the statements that `after` and `statements` have them in."""
        return {
            "since": encoding.array(each.isoformat() for each in self._times),
            "since_ids": encoding.array(self._ids),
            "margin": self._margin,
        }

    def learn(self, last: tuple[int, datetime.datetime, int] | None, *, is_full: bool, now: datetime.datetime) -> None:
        """Moves the bounds after a claim at `now`, of which `last` is the level, ready_at and task_id of the last task.

        If the claim was not full, it took all that it found.
        """
        self.of_keys, self.is_new = None, False
        if last is not None:
            self._has_moved = True
            self.left.hurry()
        self._step_back(self._now, now)
        is_behind, self._now = now < self._now, now
        if is_behind:
            return
        lowest, at, task_id = last if is_full and last is not None else (-1, now, 0)
        for level in range(len(self._times)):
            if level > lowest:
                self._times[level], self._ids[level] = now, 0
            elif level == lowest:
                self._times[level], self._ids[level] = at, task_id


class KeyedBounds:
    """Up to where the due tasks of a queue with limits per key were examined.

    Each task before was claimed, is among the `blocked`, or its key has a row in `queue_keys` by which it is found
    again. What was due before this worker looked for the first time is examined in steps, apart from what falls due
    now.
    """

    MOST_BLOCKED = 10_000

    def __init__(
        self, now: datetime.datetime, floor: list[datetime.datetime], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._noted_at = clock() - _NOTE_SECONDS
        self.floor = floor
        """Of each level, before when no task waits."""
        self.ended: set[str] = set()
        """Keys of which a run has ended."""
        self.blocked: dict[int, datetime.datetime] = {}
        """Due tasks that another session had locked, with their ready_at: claims pass over them until a sweep."""
        self.is_sweep = False
        """Whether the next claim looks at the blocked tasks, and at what fell due in the last ten seconds, again."""
        self.new = Bounds.exact([now - _SWEEP_MARGIN] * len(floor))
        self.recent: Bounds | None = None
        """Where that look has arrived."""
        self.old: Bounds | None = None
        """Where the look at everything has arrived; None after the last task."""
        self.after_key: str | None = None
        """The last key that was examined of all with waiting tasks; None after the last one."""
        self.look_at_all()

    def sweep(self) -> None:
        """Has claims look at the last seconds again and, once a minute, at everything."""
        self.is_sweep = True
        if self._clock() > self._looked_at + _KEYS_SECONDS:
            self.look_at_all()

    def begin_sweep(self, now: datetime.datetime) -> None:
        """Begins the look at the last seconds, unless an earlier one is under way."""
        self.is_sweep = False
        self.recent = self.recent or Bounds.exact([now - _SWEEP_MARGIN] * len(self.floor))

    def look_at_all(self) -> None:
        """Has claims examine all due tasks, and all keys with waiting tasks, again.

        A look under way continues: begun anew each minute, it would never come to the end of a long backlog.
        """
        self._looked_at = self._clock()
        self.old = self.old or Bounds.exact(self.floor)
        if self.after_key is None:
            self.after_key = ""

    def is_to_note(self) -> bool:
        """Returns whether the floor is to be raised and noted for others now."""
        if self._clock() < self._noted_at + _NOTE_SECONDS:
            return False
        self._noted_at = self._clock()
        return True

    def block(self, task_id: int, ready_at: datetime.datetime) -> None:
        """Notes a blocked task. Those beyond 10,000 are found by the look at everything."""
        if len(self.blocked) < self.MOST_BLOCKED:
            self.blocked[task_id] = ready_at
