"""PostgreSQL's snapshots, as the reader of the feed needs them, and positions in the feed."""

import dataclasses
import re
import uuid

MOST_IN_PROGRESS = 1_000
"""The limit in a position. PostgreSQL has no more concurrent writing transactions, for lack of connections."""
_END = re.compile(r"\d{1,18}\.\d{1,18}\.-?\d{1,18}")


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The transactions that a reader sees: all below `xmax`, except those `in_progress`.

    Written `xmin:xmax:xip,xip,…`, as PostgreSQL's type pg_snapshot is.
    """

    xmin: int
    xmax: int
    in_progress: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> "Snapshot":
        """Reads PostgreSQL's notation; raises ValueError for anything else."""
        first, end, between = text.split(":")
        xmin, xmax, in_progress = int(first), int(end), frozenset(int(xid) for xid in between.split(",") if xid)
        if not 1 <= xmin <= xmax < 2**63 or not all(xmin <= xid < xmax for xid in in_progress):
            raise ValueError(f"{text!r} is not a snapshot")
        return cls(xmin, xmax, in_progress)

    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(map(str, sorted(self.in_progress)))}"

    def sees(self, xid: int) -> bool:
        """Returns whether the writes of that transaction are visible."""
        return xid < self.xmax and xid not in self.in_progress

    def below(self, xid: int) -> "Snapshot":
        """Returns the part of this snapshot that is below `xid`: it sees nothing else."""
        if xid >= self.xmax:
            return self
        xmax = max(1, xid)
        in_progress = frozenset(each for each in self.in_progress if each < xmax)
        return Snapshot(min(in_progress, default=xmax), xmax, in_progress)

    def covers(self, other: "Snapshot") -> bool:
        """Returns whether all that is visible to `other` is visible, as to any snapshot taken later."""
        return other.xmax <= self.xmax and all(
            xid >= other.xmax or xid in other.in_progress for xid in self.in_progress
        )


NOTHING = Snapshot(0, 0, frozenset())
"""Sees nothing, and is covered by every snapshot."""


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """A place in the feed of one history of the database.

    At rest, all that `seen` sees is read. Within a window, what `upto` sees up to `log_id` is read too, and nothing
    that `upto` sees is above `last_id`. `end` names the durable row at which the last snapshot ends; see
    `store.log.histories`. Written `history;end;seen`, or `history;end;seen;upto;log_id;last_id`.
    """

    history: str
    end: str
    seen: Snapshot
    upto: Snapshot | None = None
    log_id: int = 0
    last_id: int = 0

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Reads what `str` wrote; raises ValueError for anything else, and for more than MOST_IN_PROGRESS."""
        if text.count(",") >= MOST_IN_PROGRESS:  # a caller may have forged it, and each event would repeat it
            raise ValueError(f"a position with more than {MOST_IN_PROGRESS} transactions in progress")
        history, end, seen, *rest = text.split(";")
        uuid.UUID(history)
        if not _END.fullmatch(end):
            raise ValueError(f"{end!r} names no row")
        if not rest:
            return cls(history, end, Snapshot.parse(seen))
        upto, log_id, last_id = rest
        if not 0 <= int(log_id) <= int(last_id) < 2**63:
            raise ValueError(f"{log_id!r} and {last_id!r} are no log_ids")
        return cls(history, end, Snapshot.parse(seen), Snapshot.parse(upto), int(log_id), int(last_id))

    def __str__(self) -> str:
        window = [] if self.upto is None else [self.upto, self.log_id, self.last_id]
        return ";".join(map(str, [self.history, self.end, self.seen, *window]))

    def at_rest(self) -> "Position":
        """Returns the position at the end of the window."""
        return self if self.upto is None else Position(self.history, self.end, self.upto)
