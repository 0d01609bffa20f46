"""PostgreSQL's snapshots, as the reader of the feed needs them, and positions in the feed."""

import dataclasses

MOST_IN_PROGRESS = 1_000
"""The limit in a position. PostgreSQL has no more concurrent writing transactions, for lack of connections."""


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

    def covers(self, other: "Snapshot") -> bool:
        """Returns whether all that is visible to `other` is visible, as to any snapshot taken later."""
        return other.xmax <= self.xmax and all(
            xid >= other.xmax or xid in other.in_progress for xid in self.in_progress
        )


NOTHING = Snapshot(0, 0, frozenset())
"""Sees nothing, and is covered by every snapshot."""


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """A place in the feed: all that `seen` sees is read and, in mid-page, what `upto` sees up to `log_id`.

    Written `seen`, or `seen;upto;log_id`.
    """

    seen: Snapshot
    upto: Snapshot | None = None
    log_id: int = 0

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Reads what `str` wrote; raises ValueError for anything else, and for more than MOST_IN_PROGRESS."""
        if text.count(",") >= MOST_IN_PROGRESS:  # a caller may have forged it, and each event would repeat it
            raise ValueError(f"a position with more than {MOST_IN_PROGRESS} transactions in progress")
        seen, *rest = text.split(";")
        if not rest:
            return cls(Snapshot.parse(seen))
        upto, log_id = rest
        if not 0 <= int(log_id) < 2**63:
            raise ValueError(f"{log_id!r} is not a log_id")
        return cls(Snapshot.parse(seen), Snapshot.parse(upto), int(log_id))

    def __str__(self) -> str:
        return str(self.seen) if self.upto is None else f"{self.seen};{self.upto};{self.log_id}"
