"""From where on due schedules, and the next tasks of queues, are read, as workers that advance them note it.

While a transaction anywhere keeps an old snapshot, the entries of all occurrences that advanced since stay in the
indexes of both. What is written is due at most 20 s before, so that nothing comes to be due behind a floor but
rows whose transaction took longer: `leftovers` has those found. A next task that waits for a run is stamped
anew, so that it holds no floor back.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, namespace
from duetime_core.postgres import database, namespaced
from duetime_core.store import leftovers
from duetime_core.store.schedules import clock

BATCH = 1_000
"""How many rows one statement stamps anew."""
_MARGIN = "interval '1 minute'"
"""How far a floor stays behind the present: more than rows are written behind it."""
_REST_SHARE, _LONGEST_REST_SECONDS = 9.0, 1.0
"""How long it rests after each queue, for each second that one took: floors lag rather than load the database."""
_LIMIT_TIME = sa.text(f"SET LOCAL statement_timeout = '{leftovers.Left.SLOWEST} s'")


class _Statements(NamedTuple):
    read: sa.TextClause
    """The time, and the floor."""
    stamp_left: sa.TextClause
    """Stamps what is left before the floor, between two times, so that it is found where others look."""
    hold: sa.TextClause | None
    """Stamps waiting tasks anew, so that the floor can be raised."""
    raise_floor: sa.TextClause
    """Raises the floor to the first row from a time on; lowers it if the clock was set back."""
    raise_blindly: sa.TextClause


def _raise(table: str, columns: str, key: str, column: str, values: str) -> str:
    return f"""
    INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}
    WHERE excluded.{column} > {table}.{column} + interval '10 seconds' OR {table}.{column} > clock_timestamp()
    """


def _raise_next(values: str) -> sa.TextClause:
    return namespaced.text(
        _raise("next_floors", "namespace_id, queue, ready_at", "namespace_id, queue", "ready_at", values)
    )


def _raise_due(values: str) -> sa.TextClause:
    return sa.text(_raise("advance_floor", "advance_at", "is_only", "advance_at", values))


_HERE = f"clock_timestamp() - {_MARGIN}"
_NEXT_OF_QUEUE = "namespace_id = :namespace_id AND queue = :queue AND is_next"
_FIRST_NEXT = f"SELECT ready_at FROM waiting WHERE {_NEXT_OF_QUEUE} AND ready_at >= :since"
_FIRST_DUE = "SELECT advance_at FROM schedules WHERE advance_at >= :since"
_BETWEEN = "{0} > CAST(:since AS timestamptz) AND {0} < CAST(:before AS timestamptz)"
_NEXT = _Statements(
    namespaced.text("""
    SELECT clock_timestamp(), (
        SELECT ready_at FROM next_floors WHERE namespace_id = :namespace_id AND queue = :queue
    )
    """),
    namespaced.text(f"""
    UPDATE waiting SET ready_at = clock_timestamp() WHERE namespace_id = :namespace_id AND task_id = ANY(ARRAY(
        SELECT task_id FROM waiting WHERE {_NEXT_OF_QUEUE} AND {_BETWEEN.format("ready_at")}
        ORDER BY ready_at, task_id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    ))
    """),
    # Not as if they were due just now, when claims would wake the advancer.
    namespaced.text(f"""
    UPDATE waiting SET ready_at = clock_timestamp() - interval '{clock.BEHIND}'
    WHERE namespace_id = :namespace_id AND task_id = ANY(ARRAY(
        SELECT task_id FROM waiting
        WHERE {_NEXT_OF_QUEUE} AND ready_at >= :since AND ready_at < statement_timestamp() - {_MARGIN}
        ORDER BY ready_at, task_id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    ))
    """),
    _raise_next(f":namespace_id, :queue, least({_HERE}, ({_FIRST_NEXT} ORDER BY ready_at, task_id LIMIT 1))"),
    _raise_next(f":namespace_id, :queue, {_HERE}"),
)
_DUE = _Statements(
    sa.text("SELECT clock_timestamp(), (SELECT advance_at FROM advance_floor WHERE is_only)"),
    sa.text(f"""
    UPDATE schedules SET advance_at = clock_timestamp() WHERE schedule_id = ANY(ARRAY(
        SELECT schedule_id FROM schedules WHERE {_BETWEEN.format("advance_at")}
        ORDER BY advance_at, schedule_id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    ))
    """),
    None,
    _raise_due(f"least({_HERE}, ({_FIRST_DUE} ORDER BY advance_at, schedule_id LIMIT 1))"),
    _raise_due(_HERE),
)


_Queue = tuple[int, str]
"""A namespace, and the name of a queue in it."""


class Floors:
    """Raises the floors of due schedules and of queues' next tasks, for one worker that advances them.

    `queues` are those that the worker serves, in the namespace of the call.
    """

    def __init__(self, queues: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._schedules = leftovers.Left(clock)
        self._own = frozenset((namespace.current(), queue) for queue in queues)
        self._queues = {queue: leftovers.Left(clock) for queue in self._own}
        self._advanced: set[_Queue] = set()

    def advanced(self, queues: Iterable[_Queue]) -> None:
        """Notes that next occurrences of those queues advanced, each given with its namespace."""
        self._schedules.hurry()
        for queue in queues:
            self._advanced.add(queue)
            self._queues.setdefault(queue, leftovers.Left(self._clock)).hurry()

    async def note(self, engine: sqlalchemy_asyncio.AsyncEngine) -> None:
        """Looks for what is left before the floors, and raises them where occurrences advanced, if it is time.

        It may take long, so nothing that advances schedules waits for it.
        """
        if self._schedules.is_due:
            await self._note(engine, _DUE, {}, self._schedules, is_raised=True)
        for queue in [queue for queue, left in self._queues.items() if left.is_due]:
            began = self._clock()
            await self._note_queue(engine, queue, self._queues[queue])
            await asyncio.sleep(min((self._clock() - began) * _REST_SHARE, _LONGEST_REST_SECONDS))

    async def _note_queue(self, engine: sqlalchemy_asyncio.AsyncEngine, queue: _Queue, left: leftovers.Left) -> None:
        is_raised = queue in self._advanced
        self._advanced.discard(queue)
        namespace_id, name = queue
        with namespace.use(namespace_id):
            await self._note(engine, _NEXT, {"queue": name}, left, is_raised=is_raised)
        if not is_raised and queue not in self._advanced and queue not in self._own and left.is_complete:
            # Nothing advanced for a minute, and nothing was left.
            del self._queues[queue]

    async def _note(
        self,
        engine: sqlalchemy_asyncio.AsyncEngine,
        statements: _Statements,
        which: dict[str, Any],
        left: leftovers.Left,
        *,
        is_raised: bool,
    ) -> None:
        with database.unavailable():
            async with engine.connect() as connection:
                now, floor = (await connection.execute(statements.read, which)).one()
        first, before = left.slice(now if floor is None else floor)
        began = self._clock()
        is_done = floor is None or await _within_time(
            engine, {**which, "since": first, "before": before}, statements.stamp_left
        )
        left.looked(first, began=began, is_done=is_done)
        is_ahead = floor is not None and floor > now  # the clock was set back
        if not (is_raised or is_ahead):
            return
        since = leftovers.LONG_AGO if floor is None or is_ahead else floor
        raising = [each for each in (statements.hold, statements.raise_floor) if each is not None]
        if not await _within_time(engine, {**which, "since": since}, *raising):
            # Then rows before it count as left behind.
            await _within_time(engine, which, statements.raise_blindly)


async def _within_time(
    engine: sqlalchemy_asyncio.AsyncEngine, parameters: dict[str, Any], *statements: sa.TextClause
) -> bool:
    """Executes the statements in a transaction, and returns whether none was slow."""
    with contextlib.suppress(errors.StoreUnavailable), database.unavailable():
        async with database.transaction(engine) as connection:
            await connection.execute(_LIMIT_TIME)
            for statement in statements:
                await connection.execute(statement, parameters)
            return True
    return False
