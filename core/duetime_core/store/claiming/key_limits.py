"""Limits per key: which due tasks of a locked queue may start.

Each due task is examined once, in order. One whose key is at its limit is left, and its key noted in `queue_keys`; when
that is free again, its first due tasks are looked up by it. So a claim costs what it takes, what fell due since the
last one, and the keys that became free, however many tasks wait.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database, namespaced, schema
from duetime_core.store import leftovers
from duetime_core.store.claiming import bounds, queue_lock, statements
from duetime_core.store.claiming import keys as queue_keys

_STEP = 500
"""How many due tasks, and how many keys, a claim examines at least if there are as many."""

COLUMNS = "task_id, concurrency_key, level, ready_at"
_SCAN = namespaced.text(statements.due(columns=COLUMNS, lock=""))
# Tasks of a key that waits, as `queue_keys` has it, are found by that: of most backlogs, only the last row is returned.
_SCAN_OLD = namespaced.text(f"""
WITH due AS MATERIALIZED (
    SELECT {COLUMNS}, row_number() OVER () AS number FROM ({statements.due(columns=COLUMNS, lock="")}) AS in_order
)
SELECT {COLUMNS}, number FROM due
WHERE number = (SELECT max(number) FROM due) OR concurrency_key IS NULL OR NOT EXISTS (
    SELECT FROM queue_keys
    WHERE queue_keys.namespace_id = :namespace_id AND queue = :queue
        AND queue_keys.concurrency_key = due.concurrency_key AND waits_until > {statements.NOW}
    OFFSET 0
)
ORDER BY number
""")
_JUST_DUE = namespaced.text(statements.just_due(COLUMNS))
_BLOCKED = namespaced.text(f"""
SELECT {COLUMNS}, is_free FROM unnest(CAST(:task_ids AS bigint[])) AS given (given_id)
CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM waiting
    WHERE task_id = given_id AND waiting.namespace_id = :namespace_id AND queue = :queue
        AND lost_leases < {task.QUARANTINE_LEASES} AND NOT is_next
        AND ready_at <= {statements.NOW}
    OFFSET 0
) AS due
LEFT JOIN LATERAL (
    SELECT true AS is_free FROM waiting
    WHERE waiting.task_id = given_id AND waiting.namespace_id = :namespace_id
    FOR UPDATE SKIP LOCKED
) AS locked ON true
""")
"""Those tasks as far as they are due, and whether no other session has them locked."""
_LIMIT_TIME = sa.text(
    "SELECT set_config('duetime.statement_timeout', current_setting('statement_timeout'), true), "
    f"set_config('statement_timeout', '{leftovers.Left.SLOWEST} s', true)"
)
_UNLIMIT_TIME = sa.text("SELECT set_config('statement_timeout', current_setting('duetime.statement_timeout'), true)")
_DUE_WITH_KEY = f"waiting.namespace_id = :namespace_id AND queue = :queue AND {schema.WITH_KEY}"
_FIRST = namespaced.text(f"""
SELECT {COLUMNS} FROM unnest(CAST(:keys AS text[]), CAST(:places AS int[])) AS given (key, places)
CROSS JOIN LATERAL (
    SELECT {COLUMNS} FROM generate_series({schema.MAX_LEVEL}, 0, -1) AS levels (number) CROSS JOIN LATERAL (
        SELECT {COLUMNS} FROM waiting
        WHERE {_DUE_WITH_KEY} AND concurrency_key = given.key AND level = levels.number
            AND ready_at <= {statements.NOW} AND ready_at >= (CAST(:floor AS timestamptz[]))[levels.number + 1]
        ORDER BY ready_at, task_id
        LIMIT given.places + 1
    ) AS due_at_level
    LIMIT given.places + 1
) AS first
""")
_NEXT_KEYS = namespaced.text(f"""
WITH RECURSIVE found AS (
    (SELECT concurrency_key, 1 AS number FROM waiting WHERE {_DUE_WITH_KEY} AND concurrency_key > :after_key
    ORDER BY concurrency_key LIMIT 1)
    UNION ALL
    SELECT (
        SELECT concurrency_key FROM waiting WHERE {_DUE_WITH_KEY} AND concurrency_key > found.concurrency_key
        ORDER BY concurrency_key LIMIT 1
    ), number + 1
    FROM found WHERE found.concurrency_key IS NOT NULL AND number < :limit
)
SELECT concurrency_key FROM found WHERE concurrency_key IS NOT NULL ORDER BY concurrency_key
""")


_Order = tuple[int, datetime.datetime, int]


@dataclasses.dataclass(slots=True)
class Waits:
    """Why due tasks wait: for a run to end, or for a rate limit."""

    for_a_run: bool = False
    next_start_at: datetime.datetime | None = None
    has_missed: bool = False
    """Whether keys are left that the next claim examines."""


def _order(row: sa.Row[Any]) -> _Order:
    return -row.level, row.ready_at, row.task_id


class Pick:
    """The tasks that one claim starts, within the limits of their keys."""

    def __init__(
        self, connection: sqlalchemy_asyncio.AsyncConnection, locked: queue_lock.QueueLock, limit: int
    ) -> None:
        self._connection, self._queue, self._limit = connection, locked.queue, limit
        self._keys = queue_keys.Keys(connection, locked)
        self._since: bounds.KeyedBounds | None = None
        self._taken: dict[int, str | None] = {}
        self._left: set[str] = set()  # keys of due tasks that were examined and not taken
        self._visited: dict[str, set[int]] = {}  # the first due tasks of each key that was looked up
        self._seen: dict[int, datetime.datetime] = {}  # the ready_at of all

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of `statements.PICKED`."""
        return {"task_ids": list(self._taken), "keys": list(self._taken.values())}

    async def from_rows(self, rows: Sequence[sa.Row[Any]]) -> None:
        """Picks from those due tasks. Those that it leaves are not noted."""
        await self._take(rows)
        self._left.clear()

    async def from_queue(self, since: bounds.KeyedBounds) -> None:
        """Picks from the due tasks that were not examined yet, and from those of keys that became free."""
        self._since, step = since, max(_STEP, 4 * self._limit)
        again = await self._unblocked() if since.is_sweep else []
        if since.is_sweep:
            since.begin_sweep(self._keys.now)
        # Apart, so that however many tasks of full keys one of them has, the others are examined.
        new, recent = [await self._scan(each, step) for each in (since.new, since.recent)]
        old = await self._scan(since.old, step, _SCAN_OLD)
        just_due = await self._read(_JUST_DUE, step)
        free = await self._first(await self._keys.free(since.ended, step))
        stop = await self._take([*again, *new, *just_due, *recent, *old, *free])
        for row in again:
            if row.concurrency_key is None and row.task_id not in self._taken:
                since.block(row.task_id, row.ready_at)
        is_cut = _learn(since.new, new, stop, step, self._keys.now)
        if since.recent is not None and not _learn(since.recent, recent, stop, step, self._keys.now):
            since.recent = None
        passed = old[-1].number if old else 0
        if since.old is not None and not _learn(since.old, old, stop, step, self._keys.now, passed):
            since.old = None
        if is_cut and since.after_key is None:
            since.after_key = ""  # the keys of those that are not examined yet
        if since.after_key is not None and len(self._taken) < self._limit:
            names = await self._next_keys(since.after_key, step)
            since.after_key = names[-1] if len(names) == step else None
            await self._keys.read(names)
            await self._take(await self._first([name for name in names if self._keys.is_open(name)]))

    async def settle(self, claimed: Collection[int]) -> Waits:
        """Notes what was started and what was left. Of the tasks picked, these were `claimed`: others are locked."""
        blocked = [task_id for task_id in self._taken if task_id not in claimed]
        for task_id in blocked:
            if (key := self._taken[task_id]) is not None:
                self._keys.start(key, -1)
                self._left.add(key)
        if blocked and self._since is not None:
            await self._block(self._since, blocked, claimed)
        for key, task_ids in self._visited.items():
            if key in self._left or task_ids - set(claimed):
                self._left.add(key)
            else:
                self._keys.leave_none(key)
        for key in self._left:
            self._keys.leave(key)
        await self._keys.write()
        if self._since is not None:
            self._since.ended.clear()
        next_start_at, for_a_run = await self._keys.next_free_at()
        has_missed = self._since is not None and (bool(blocked) or self._since.after_key is not None)
        return Waits(for_a_run, next_start_at, has_missed)

    async def _block(self, since: bounds.KeyedBounds, blocked: Sequence[int], claimed: Collection[int]) -> None:
        """Notes those tasks, and all other locked ones that this claim has seen: the next one passes over them."""
        for task_id in blocked:
            since.block(task_id, self._seen[task_id])
        others = [task_id for task_id in self._seen if task_id not in claimed]
        for row in await self._read(_BLOCKED, 0, task_ids=others):
            if not row.is_free:
                since.block(row.task_id, row.ready_at)

    async def _unblocked(self) -> Sequence[sa.Row[Any]]:
        """Returns those of the blocked tasks that are locked no longer."""
        assert self._since is not None
        blocked = self._since.blocked
        found = await self._read(_BLOCKED, 0, task_ids=list(blocked)) if blocked else []
        self._since.blocked = {row.task_id: row.ready_at for row in found if not row.is_free}
        return [row for row in found if row.is_free]

    async def _next_keys(self, after_key: str, step: int) -> list[str]:
        """Returns the next keys with waiting tasks; none if many tasks of them have ended under an old snapshot.

        Keys at their limit are found in `queue_keys` all the same, and others as their tasks are examined.
        """
        with contextlib.suppress(errors.StoreUnavailable), database.unavailable():
            async with self._connection.begin_nested():
                await self._connection.execute(_LIMIT_TIME)
                found = await self._read(_NEXT_KEYS, step, after_key=after_key)
                await self._connection.execute(_UNLIMIT_TIME)
                return [row.concurrency_key for row in found]
        return []

    async def _scan(
        self, since: bounds.Bounds | None, step: int, statement: sa.TextClause = _SCAN
    ) -> Sequence[sa.Row[Any]]:
        return [] if since is None else await self._read(statement, step, **since.parameters)

    async def _read(self, statement: sa.TextClause, limit: int, **parameters: Any) -> Sequence[sa.Row[Any]]:
        given = {"queue": self._queue, "limit": limit, **parameters}
        return (await self._connection.execute(statement, given)).all()

    async def _first(self, names: Sequence[str]) -> Sequence[sa.Row[Any]]:
        """Returns the due tasks of each key that may start, and one more."""
        await self._keys.read(names)
        for name in names:
            self._visited.setdefault(name, set())
        places = [min(self._limit, self._keys.places(name)) for name in names]
        floor = [] if self._since is None else self._since.floor
        found = await self._read(_FIRST, 0, keys=list(names), places=places, floor=floor) if names else []
        for row in found:
            self._visited[row.concurrency_key].add(row.task_id)
        return found

    async def _take(self, rows: Sequence[sa.Row[Any]]) -> _Order | None:
        """Takes what may start of those due tasks, in order; returns where it stopped, unless it examined all."""
        await self._keys.read([row.concurrency_key for row in rows if row.concurrency_key is not None])
        self._seen.update({row.task_id: row.ready_at for row in rows})
        for row in sorted(rows, key=_order):
            if row.task_id in self._taken:
                continue
            if len(self._taken) == self._limit:
                return _order(row)
            is_blocked = self._since is not None and self._since.blocked.get(row.task_id) == row.ready_at
            if is_blocked and row.concurrency_key is None:
                continue
            if row.concurrency_key is not None:
                if is_blocked or not self._keys.places(row.concurrency_key):
                    self._left.add(row.concurrency_key)
                    continue
                self._keys.start(row.concurrency_key)
            self._taken[row.task_id] = row.concurrency_key
        return None


def _learn(
    since: bounds.Bounds,
    rows: Sequence[sa.Row[Any]],
    stop: _Order | None,
    step: int,
    now: datetime.datetime,
    count: int | None = None,
) -> bool:
    """Moves the bounds past the rows that were examined, of `count`, or all; returns whether there are more."""
    examined = [row for row in rows if stop is None or _order(row) < stop]
    is_cut = (len(rows) if count is None else count) == step or len(examined) < len(rows)
    if examined or not is_cut:
        last = (examined[-1].level, examined[-1].ready_at, examined[-1].task_id) if examined else None
        since.learn(last, is_full=is_cut, now=now)
    return is_cut
