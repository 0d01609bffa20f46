"""The feed: every log row once, in an order in which each task's versions rise."""

import asyncio
import collections
import contextlib
import dataclasses
import datetime
import random

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.model.snapshot import Position, Snapshot
from duetime_core.postgres import database
from duetime_core.store.log import feed, marks
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import read as task_read
from tests.support import factories
from tests.support.feeds import Row, read_all

Engine = sqlalchemy_asyncio.AsyncEngine


async def test_rows_committed_after_a_position_are_read_from_it_once(engine: Engine) -> None:
    before = await factories.create(engine)
    position = await feed.now(engine)
    after = await factories.create(engine)
    await task_edit.cancel(engine, before, actor="api")
    rows, position = await read_all(engine, position)
    assert rows == [(after, 1), (before, 2)]
    assert await read_all(engine, position) == ([], position)


async def test_a_row_committed_late_is_neither_missed_nor_repeated(engine: Engine) -> None:
    task_id = await factories.create(engine)
    position = await feed.now(engine)
    async with database.transaction(engine) as connection:
        await connection.execute(
            sa.text("""
            INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor)
            VALUES (77, 1, 'pending', 'created', now(), 0, 'late')
        """)
        )
        # A later id is committed first, and is read while the earlier one is not.
        await task_edit.cancel(engine, task_id, actor="api")
        early, position = await read_all(engine, position)
    late, position = await read_all(engine, position)
    assert (early, late) == ([(task_id, 2)], [(77, 1)])
    assert (await read_all(engine, position))[0] == []


async def test_a_long_transaction_elsewhere_delays_only_its_own_rows(engine: Engine) -> None:
    position = await feed.now(engine)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT pg_current_xact_id()"))
        task_id = await factories.create(engine)
        rows, _ = await read_all(engine, position)
    assert rows == [(task_id, 1)]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
async def test_pages_of_any_size_and_a_stop_at_any_entry_lose_and_repeat_nothing(engine: Engine, limit: int) -> None:
    position = await feed.now(engine)
    expected = [(await factories.create(engine), 1) for _ in range(6)]
    rows, _ = await read_all(engine, position, limit=limit)
    assert rows == expected
    page = await feed.read(engine, position, namespace_id=None, limit=6)
    for number, entry in enumerate(page.entries, 1):
        resumed = Position.parse(str(entry.position))
        assert resumed == entry.position
        assert (await read_all(engine, resumed, limit=limit))[0] == expected[number:]


async def test_a_reader_that_resumes_in_mid_page_gets_the_later_rows_too(engine: Engine) -> None:
    position = await feed.now(engine)
    first, second = await factories.create(engine), await factories.create(engine)
    page = await feed.read(engine, position, namespace_id=None, limit=10)
    third = await factories.create(engine)
    rows, position = await read_all(engine, page.entries[0].position)
    assert rows == [(second, 1), (third, 1)]
    assert (await read_all(engine, position))[0] == []
    assert page.entries[0].log.task_id == first


async def test_only_the_rows_of_the_given_tasks_are_read(engine: Engine) -> None:
    position = await feed.now(engine)
    _, wanted, _ = [await factories.create(engine) for _ in range(3)]
    page = await feed.read(engine, position, namespace_id=None, task_ids=[wanted], limit=10)
    assert [entry.log.task_id for entry in page.entries] == [wanted]
    assert (page.entries[0].log.name, page.entries[0].log.queue) == ("noop", "default")


async def test_a_reader_among_many_writers_reads_every_version_once_and_in_order(engine: Engine) -> None:
    position = await feed.now(engine)
    seen: dict[int, list[int]] = collections.defaultdict(list)
    writing = True

    async def write() -> None:
        for _ in range(15):
            task_id = await factories.create(engine, queue="quiet")
            await task_edit.update(engine, task_id, {"name": "other"}, version=None, actor="api")
            await task_edit.cancel(engine, task_id, actor="api")

    async def read() -> None:
        nonlocal position
        is_last_read = False
        while not is_last_read:
            is_last_read = not writing
            rows, position = await read_all(engine, position, limit=5)
            for task_id, version in rows:
                seen[task_id].append(version)

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(6)))
    writing = False
    await reading
    assert len(seen) == 90
    assert all(versions == [1, 2, 3] for versions in seen.values())


async def test_a_position_of_another_database_is_invalid(engine: Engine) -> None:
    now = await feed.now(engine)
    ahead = Snapshot(now.seen.xmax + 1000, now.seen.xmax + 1000, frozenset())
    with pytest.raises(errors.InvalidArgument, match="must come from a watch of this database"):
        await feed.read(engine, dataclasses.replace(now, seen=ahead), namespace_id=None, limit=10)


def test_a_snapshot_sees_the_transactions_that_had_ended_when_it_was_taken() -> None:
    snapshot = Snapshot.parse("10:20:10,15")
    assert [xid for xid in range(8, 23) if snapshot.sees(xid)] == [8, 9, 11, 12, 13, 14, 16, 17, 18, 19]
    assert str(snapshot) == "10:20:10,15"


def test_a_later_snapshot_covers_an_earlier_one_but_not_vice_versa() -> None:
    earlier, later = Snapshot.parse("10:20:10,15"), Snapshot.parse("15:22:15,21")
    assert later.covers(earlier)
    assert later.covers(later)
    assert not earlier.covers(later)


@pytest.mark.parametrize("text", ["", "1:2", "a:b:c", "1:2:x", "1:2:;3", "1:2:;3:4:;x"])
def test_a_malformed_position_is_invalid(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Position.parse(text)


async def test_a_log_row_of_a_month_without_a_partition_is_kept(engine: Engine) -> None:
    async with engine.connect() as connection:
        await connection.execute(
            sa.text("""
            INSERT INTO task_logs (task_id, version, status, change, timestamp, execution_time, retry_count, actor)
            VALUES (1, 1, 'pending', 'created', '1999-01-01', now(), 0, 'api')
        """)
        )
        found = await connection.execute(sa.text("SELECT count(*) FROM task_logs_default"))
        assert found.scalar_one() == 1


async def test_a_task_and_its_log_row_have_the_same_time(engine: Engine) -> None:
    task_id = await factories.create(engine, execution_time=datetime.datetime(1999, 1, 1, tzinfo=datetime.UTC))
    async with engine.connect() as connection:
        rows = await connection.execute(
            sa.text("""
            SELECT execution_time = created_at AND created_at = timestamp
            FROM tasks JOIN task_logs USING (task_id, execution_time) WHERE task_id = :task_id
        """),
            {"task_id": task_id},
        )
        assert rows.scalars().all() == [True]


_CHANGE = sa.text("""
WITH changed AS (
    UPDATE tasks SET version = version + 1
    WHERE task_id = (SELECT task_id FROM tasks WHERE task_id = :task_id FOR UPDATE SKIP LOCKED)
    RETURNING task_id, version, execution_time
)
INSERT INTO task_logs (task_id, version, status, change, execution_time, retry_count, actor)
SELECT task_id, version, 'pending', 'updated', execution_time, 0, 'test' FROM changed
""")
_TAKE_XID = sa.text("SELECT pg_current_xact_id()")


async def test_changes_within_a_savepoint_are_read_and_those_rolled_back_are_not(engine: Engine) -> None:
    kept, lost = [await factories.create(engine) for _ in range(2)]
    position = await feed.now(engine)
    async with database.transaction(engine) as connection:
        for task_id in (kept, lost):
            inner = await connection.begin_nested()
            await connection.execute(_CHANGE, {"task_id": task_id})
            assert (await read_all(engine, position))[0] == []
            await (inner.commit() if task_id == kept else inner.rollback())
    rows, position = await read_all(engine, position)
    assert rows == [(kept, 2)]
    assert await read_all(engine, position) == ([], position)


@pytest.mark.parametrize("short_window", [10_000, 3, 0])
async def test_overlapping_transactions_are_read_once_and_in_order(
    engine: Engine, short_window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SHORT_WINDOW", short_window)
    monkeypatch.setattr(marks, "INTERVAL_SECONDS", 0.0)
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    task_ids = [await factories.create(engine) for _ in range(4)]
    start = position = await feed.now(engine)
    read: list[Row] = []
    positions = [(start, 0)]  # each with how many rows come before it
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(engine.connect()) for _ in range(5)]
        writers = [await each.execution_options(isolation_level="READ COMMITTED") for each in connections]
        for _ in range(300):
            writer = chance.choice(writers)
            match chance.randrange(7):
                case 0:
                    await writer.execute(_TAKE_XID)  # as a transaction that waits for a lock has one already
                case 6:
                    await marks.note(engine)
                case 1 | 2:
                    await writer.execute(_CHANGE, {"task_id": chance.choice(task_ids)})
                case 3:
                    await (writer.commit() if chance.random() < 0.8 else writer.rollback())
                case _:
                    page = await feed.read(engine, position, namespace_id=None, limit=chance.randint(1, 4))
                    for entry in page.entries:
                        read.append((entry.log.task_id, entry.log.version))
                        positions.append((entry.position, len(read)))
                    position = page.position
                    positions.append((position, len(read)))
        for writer in writers:
            await writer.commit()
    rest, _ = await read_all(engine, position, limit=3)
    read += rest
    for task_id in task_ids:
        versions = [version for each, version in read if each == task_id]
        assert versions == list(range(2, len(versions) + 2)), f"seed {seed}"
        assert len(versions) == (await task_read.get(engine, task_id)).version - 1, f"seed {seed}"
    for saved, count in chance.sample(positions, 20):
        again, _ = await read_all(engine, Position.parse(str(saved)), limit=chance.randint(1, 5))
        assert sorted(again) == sorted(read[count:]), f"seed {seed}"
