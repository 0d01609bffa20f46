"""A reader that is far behind: each page costs what it holds, however many rows are between it and the present."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model.snapshot import Position
from duetime_core.postgres import database
from duetime_core.store.log import feed, marks
from tests import conftest
from tests.support import feeds, plans

Engine = sqlalchemy_asyncio.AsyncEngine
LIMIT = 100
FEW, MANY = 15_000, 150_000
"""Rows that a reader is behind."""
BATCH = 500
BLOCKS = 4 * LIMIT
"""Of a page: a row may be in a block of its own, and so may its index entry."""
_LOG = sa.text(f"""
INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor, queue, name)
SELECT n, :version, 'pending', 'updated', now(), 0, 'test', 'default', 'noop' FROM generate_series(1, {BATCH}) AS n
""")


async def log(engine: Engine, count: int, *, first_version: int) -> None:
    """Logs so many rows of 500 tasks, each version in a transaction of its own, with a mark now and then."""
    async with engine.connect() as connection:
        for number in range(count // BATCH):
            await connection.execute(_LOG, {"version": first_version + number})
            if number % 4 == 0:
                await connection.execute(sa.text("UPDATE feed_marks SET noted_at = noted_at - interval '1 day'"))
                await marks.note(engine)


@pytest_asyncio.fixture(scope="module")
async def behind(admin: Engine) -> AsyncIterator[tuple[Engine, dict[int, Position]]]:
    """A database, and positions that are so many rows behind."""
    async with conftest.new_database(admin) as url:
        engine = database.connect(url, pool_size=3)
        await log(engine, 20 * BATCH, first_version=1)
        positions = {MANY: await feed.now(engine)}
        await log(engine, MANY - FEW, first_version=1_000)
        positions[FEW] = await feed.now(engine)
        await log(engine, FEW, first_version=2_000)
        yield engine, positions
        await engine.dispose()


async def cost(engine: Engine, position: Position, *, limit: int = LIMIT) -> int:
    """Returns how many blocks the statement of a page touches."""
    statement = feed._READ_SHORT if position.upto is None else feed._READ_LONG
    parameters: dict[str, Any] = {**feed._parameters(position, None, limit), "only": None}
    # On a connection of its own: psycopg deallocates all statements at a rollback, once it has prepared some itself.
    fresh = database.connect(engine.url.render_as_string(hide_password=False), pool_size=1)
    async with fresh.connect() as connection:
        plan = await plans.explain(connection, "force_generic_plan", statement, parameters)
    await fresh.dispose()
    return plans.buffers(plan)


async def test_every_page_of_a_long_window_costs_what_it_holds(behind: tuple[Engine, dict[int, Position]]) -> None:
    engine, positions = behind
    for far in (FEW, MANY):
        first = await feed.read(engine, positions[far], namespace_id=None, limit=LIMIT)
        assert len(first.entries) == LIMIT
        opened = first.position
        beginning = Position(opened.history, opened.end, opened.seen, opened.upto, 0, opened.last_id)
        # The first page also reads the rows between a mark and the reader's position.
        assert await cost(engine, beginning) < BLOCKS + 8 * BATCH, far
        assert await cost(engine, opened) < BLOCKS, far


async def test_finding_that_a_window_is_long_costs_the_same_however_long_it_is(
    behind: tuple[Engine, dict[int, Position]],
) -> None:
    engine, positions = behind
    few, many = [await cost(engine, positions[far]) for far in (FEW, MANY)]
    assert many < 2 * few


async def test_a_page_is_not_longer_because_a_later_one_would_be(behind: tuple[Engine, dict[int, Position]]) -> None:
    engine, positions = behind
    rows, position = await feeds.read_all(engine, positions[FEW], limit=1000)
    assert len([row for row in rows if row[1] < 3_000]) == FEW  # other tests log later ones
    # Before the last row of the window. The rows after it that the window does not see are not read.
    window = (await feed.read(engine, positions[FEW], namespace_id=None, limit=LIMIT)).position
    late = Position(window.history, window.end, window.seen, window.upto, window.last_id - 1, window.last_id)
    await log(engine, 10 * BATCH, first_version=3_000)
    assert await cost(engine, late) < BLOCKS
    page = await feed.read(engine, late, namespace_id=None, limit=LIMIT)
    assert len(page.entries) == 1
    assert not page.is_last
    assert len((await feeds.read_all(engine, position))[0]) == 10 * BATCH


async def test_a_reader_that_is_far_behind_misses_and_repeats_nothing(
    behind: tuple[Engine, dict[int, Position]],
) -> None:
    engine, positions = behind
    rows, _ = await feeds.read_all(engine, positions[MANY], limit=5000)
    assert len(rows) == len(set(rows)) >= MANY
    last: dict[int, int] = {}
    for task_id, version in (row for row in rows if row[1] < 3_000):  # other tests log later ones, in any order
        assert version > last.get(task_id, 0)
        last[task_id] = version


async def test_a_page_of_few_tasks_reads_no_further_than_one_of_all(behind: tuple[Engine, dict[int, Position]]) -> None:
    engine, positions = behind
    page = await feed.read(engine, positions[MANY], namespace_id=None, task_ids=[], limit=LIMIT)
    assert page.entries == []
    assert not page.is_last
    all_tasks = await feed.read(engine, positions[MANY], namespace_id=None, limit=LIMIT)
    assert page.position.log_id == all_tasks.position.log_id


async def test_the_rows_of_a_transaction_that_was_open_for_long_come_before_the_mark_and_do_not_lead_back(
    behind: tuple[Engine, dict[int, Position]],
) -> None:
    engine, _ = behind
    async with database.transaction(engine) as open_for_long:
        await open_for_long.execute(_LOG, {"version": 10_000})
        await log(engine, 20 * BATCH, first_version=4_000)
        position = await feed.now(engine)
    await log(engine, 25 * BATCH, first_version=5_000)
    page = await feed.read(engine, position, namespace_id=None, limit=BATCH // 2)
    assert {entry.log.version for entry in page.entries} == {10_000}
    # The next page has the rest of them, and does not walk from there over what was seen.
    assert await cost(engine, page.position, limit=BATCH // 2) < 6 * BATCH + 8 * BATCH
    rows, _ = await feeds.read_all(engine, position)
    assert len(rows) == len(set(rows)) == 26 * BATCH
