"""Calls that wait, by whose they are: principals take turns, so that the flood of one delays another by little."""

import asyncio
import collections
import contextvars
import dataclasses
import math
from typing import Any, Generic, TypeVar

owner: contextvars.ContextVar[str | None] = contextvars.ContextVar("owner", default=None)
"""Whose the current call is, by its principal's actor. None without authentication: all callers are one then."""


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class Waiting:
    """A call that waits."""

    owner: str | None
    size: int
    turn: asyncio.Future[Any]
    """Done once the call need not wait any longer."""


_Waiting = TypeVar("_Waiting", bound=Waiting)


class Turns(Generic[_Waiting]):
    """Those that wait: of one owner in order of arrival, and the owners in turn."""

    def __init__(self) -> None:
        # Ordered dicts, because finding the first item of a plain one takes longer the more were removed before it.
        self._lines: collections.OrderedDict[str | None, collections.OrderedDict[_Waiting, None]]
        self._lines = collections.OrderedDict()
        self._sizes: collections.Counter[str | None] = collections.Counter()
        self._count = 0
        self._size = 0

    def __len__(self) -> int:
        return self._count

    def has_room(self, owner: str | None, size: int, *, max_count: float = math.inf, max_size: float) -> bool:
        """Returns whether another one may wait, where so many of that total size may.

        An owner takes at most as much as it leaves to the others, so that no flood, nor several, fills all of it.
        """
        if owner is None:
            return self._count < max_count and self._size + size <= max_size
        own = len(self._lines.get(owner, ()))
        return own + 1 <= max_count - self._count and self._sizes[owner] + size <= max_size - self._size

    def add(self, waiting: _Waiting) -> None:
        """Adds one, as the last of its owner."""
        if (line := self._lines.get(waiting.owner)) is None:
            line = self._lines[waiting.owner] = collections.OrderedDict()
        line[waiting] = None
        self._count += 1
        self._size += waiting.size
        self._sizes[waiting.owner] += waiting.size

    def remove(self, waiting: _Waiting) -> None:
        """Removes one, if it is still there."""
        line = self._lines.get(waiting.owner)
        if line is not None and waiting in line:
            del line[waiting]
            self._removed(waiting)

    def first(self) -> _Waiting:
        """Returns whose turn it is. There must be one."""
        return next(iter(next(iter(self._lines.values()))))

    def pop(self) -> _Waiting:
        """Removes and returns whose turn it is; the turn of its owner's next one comes after those of the others."""
        waiting, _ = next(iter(self._lines.values())).popitem(last=False)
        self._removed(waiting)
        if waiting.owner in self._lines:
            self._lines.move_to_end(waiting.owner)
        return waiting

    def _removed(self, waiting: _Waiting) -> None:
        self._count -= 1
        self._size -= waiting.size
        self._sizes[waiting.owner] -= waiting.size
        if not self._lines[waiting.owner]:
            del self._lines[waiting.owner], self._sizes[waiting.owner]
