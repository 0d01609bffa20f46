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

from duetime_core.model import errors
from duetime_core.postgres import database
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


def _raise(table: str, columns: str, key: str, column: str, values: str) -> sa.TextClause:
    return sa.text(f"""
    INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {column} = excluded.{column}
    WHERE excluded.{column} > {table}.{column} + interval '10 seconds' OR {table}.{column} > clock_timestamp()
    """)


_HERE = f"clock_timestamp() - {_MARGIN}"
_FIRST_NEXT = "SELECT ready_at FROM waiting WHERE queue = :queue AND is_next AND ready_at >= :since"
_FIRST_DUE = "SELECT advance_at FROM schedules WHERE advance_at >= :since"
_BETWEEN = "{0} > CAST(:since AS timestamptz) AND {0} < CAST(:before AS timestamptz)"
_NEXT = _Statements(
    sa.text("SELECT clock_timestamp(), (SELECT ready_at FROM next_floors WHERE queue = :queue)"),
    sa.text(f"""
    UPDATE waiting SET ready_at = clock_timestamp() WHERE task_id = ANY(ARRAY(
        SELECT task_id FROM waiting WHERE queue = :queue AND is_next AND {_BETWEEN.format("ready_at")}
        ORDER BY ready_at, task_id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    ))
    """),
    # Not as if they were due just now, when claims would wake the advancer.
    sa.text(f"""
    UPDATE waiting SET ready_at = clock_timestamp() - interval '{clock.BEHIND}' WHERE task_id = ANY(ARRAY(
        SELECT task_id FROM waiting
        WHERE queue = :queue AND is_next AND ready_at >= :since AND ready_at < statement_timestamp() - {_MARGIN}
        ORDER BY ready_at, task_id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
    ))
    """),
    _raise(
        "next_floors",
        "queue, ready_at",
        "queue",
        "ready_at",
        f":queue, least({_HERE}, ({_FIRST_NEXT} ORDER BY ready_at, task_id LIMIT 1))",
    ),
    _raise("next_floors", "queue, ready_at", "queue", "ready_at", f":queue, {_HERE}"),
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
    _raise(
        "advance_floor",
        "advance_at",
        "is_only",
        "advance_at",
        f"least({_HERE}, ({_FIRST_DUE} ORDER BY advance_at, schedule_id LIMIT 1))",
    ),
    _raise("advance_floor", "advance_at", "is_only", "advance_at", _HERE),
)


class Floors:
    """Raises the floors of due schedules and of queues' next tasks, for one worker that advances them."""

    def __init__(self, queues: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._schedules = leftovers.Left(clock)
        self._own = frozenset(queues)
        self._queues = {queue: leftovers.Left(clock) for queue in self._own}
        self._advanced: set[str] = set()

    def advanced(self, queues: Iterable[str]) -> None:
        """Notes that next occurrences of those queues advanced."""
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

    async def _note_queue(self, engine: sqlalchemy_asyncio.AsyncEngine, queue: str, left: leftovers.Left) -> None:
        is_raised = queue in self._advanced
        self._advanced.discard(queue)
        await self._note(engine, _NEXT, {"queue": queue}, left, is_raised=is_raised)
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
