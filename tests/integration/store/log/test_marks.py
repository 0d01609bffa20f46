"""Marks: every transaction above a mark's own has only log rows above its log_id."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import database
from duetime_core.process import background
from duetime_core.store.log import feed, marks, retention
from tests.support import factories, feeds, logs

Engine = sqlalchemy_asyncio.AsyncEngine
LOG = sa.text("""
INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor)
VALUES (77, 1, 'pending', 'created', now(), 0, 'late') RETURNING CAST(CAST(xid AS text) AS bigint) AS xid, log_id
""")


async def noted(engine: Engine) -> list[tuple[int, int]]:
    statement = sa.text("SELECT CAST(CAST(xid AS text) AS bigint), log_id FROM feed_marks ORDER BY xid")
    async with engine.connect() as connection:
        return [(row[0], row[1]) for row in await connection.execute(statement)]


async def due(engine: Engine) -> None:
    """Makes the next mark due, in a history that is noted."""
    await feed.now(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE feed_marks SET noted_at = noted_at - interval '1 day'"))


async def test_the_mark_of_an_unused_log_is_before_its_first_row(engine: Engine) -> None:
    assert [log_id for _, log_id in await noted(engine)] == [0]


async def test_a_mark_is_noted_once_after_changes_and_none_without(engine: Engine) -> None:
    await due(engine)
    before = await noted(engine)
    await marks.note(engine)
    assert await noted(engine) == before
    await factories.create(engine)
    await asyncio.gather(*(marks.note(engine) for _ in range(4)))
    assert [log_id for _, log_id in (await noted(engine))[len(before) :]] == [1]


async def test_a_transaction_that_logged_before_the_mark_is_not_above_it(engine: Engine) -> None:
    await due(engine)
    async with database.transaction(engine) as connection:
        # The last completed transaction is older: a snapshot's xmax would be at most this one's id.
        written = (await connection.execute(LOG)).one()
        await marks.note(engine)
        (*_, (xid, log_id)) = await noted(engine)
    assert xid > written.xid
    assert log_id >= written.log_id


async def test_a_page_of_a_long_window_has_the_rows_of_transactions_that_logged_around_a_mark(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SHORT_WINDOW", 0)
    await due(engine)
    before = await feed.now(engine)
    async with database.transaction(engine) as connection:
        await connection.execute(LOG)
        await marks.note(engine)
        later = [await factories.create(engine) for _ in range(5)]
        first, position = await feeds.read_all(engine, before)
    rest, _ = await feeds.read_all(engine, position)
    assert first == [(task_id, 1) for task_id in later]
    assert rest == [(77, 1)]


async def test_a_mark_waits_until_the_history_is_noted(engine: Engine) -> None:
    await factories.create(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text("TRUNCATE feed_marks, feed_histories"))
    await marks.note(engine)  # notes the history
    assert await noted(engine) == []
    await marks.note(engine)
    assert len(await noted(engine)) == 1


async def test_log_ids_are_drawn_one_by_one(engine: Engine) -> None:
    async with engine.connect() as connection:
        cache = sa.text("SELECT seqcache FROM pg_sequence WHERE seqrelid = CAST('task_logs_log_id_seq' AS regclass)")
        assert (await connection.execute(cache)).scalar_one() == 1


async def test_retention_keeps_the_mark_before_the_rows_that_are_kept(engine: Engine) -> None:
    await due(engine)
    await logs.add_month(engine, datetime.date(1999, 12, 1))
    for _ in range(3):
        await factories.create(engine)
        await marks.note(engine)
        await due(engine)
    before = await noted(engine)
    keep = datetime.timedelta(hours=1)
    await marks.forget(engine, keep)
    assert await noted(engine) == before  # no row was dropped
    await retention.drop_month(engine, keep)
    await marks.forget(engine, keep)
    assert await noted(engine) == before  # the dropped row is before the second mark
    async with engine.connect() as connection:
        newest = "(SELECT xid FROM task_logs ORDER BY xid DESC LIMIT 1)"
        await connection.execute(sa.text(f"UPDATE feed_floor SET xid = {newest}"))
    await marks.forget(engine, keep)
    assert await noted(engine) == before[-2:]


async def test_a_service_notes_marks_while_tasks_change(engine: Engine) -> None:
    await due(engine)
    before = len(await noted(engine))
    services = background.start(marks.run(engine))
    await factories.create(engine)
    async with asyncio.timeout(20):
        while len(await noted(engine)) == before:
            pass
    await background.end(services)
