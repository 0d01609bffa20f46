"""Partitions of the log are created while a long reader, such as a backup, holds locks."""

import asyncio
import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import log_tables, partition_changes
from duetime_core.store.log import partitions
from tests.support import factories, logs

Engine = sqlalchemy_asyncio.AsyncEngine


async def test_a_partition_that_a_reader_blocks_is_created_after_the_reader_has_ended(engine: Engine) -> None:
    months = await logs.drop_last(engine)
    async with logs.reading(engine):
        with pytest.raises(errors.LogBusy):
            await partitions.create_ahead(engine)
    assert await logs.months(engine) == months[:-1]
    await partitions.create_ahead(engine)
    assert await logs.months(engine) == months


async def test_creating_a_partition_that_waits_for_a_reader_blocks_no_change(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_changes, "LOCK_TIMEOUT", datetime.timedelta(minutes=1))
    months = await logs.drop_last(engine)
    async with logs.reading(engine):
        making = asyncio.create_task(partitions.create_ahead(engine))
        await logs.waits_for_a_lock(engine)
        async with asyncio.timeout(20):
            task_id = await factories.create(engine)
            assert [claimed.task_id for claimed in await factories.claim(engine)] == [task_id]
        assert not making.done()
    await making
    assert await logs.months(engine) == months


async def test_only_one_process_at_a_time_changes_partitions(engine: Engine) -> None:
    async with partition_changes.begin(engine):
        with pytest.raises(errors.LogBusy):
            await partitions.create_ahead(engine)
    await partitions.create_ahead(engine)


async def test_a_created_partition_takes_the_rows_of_its_month_alone(engine: Engine) -> None:
    await logs.drop_last(engine)
    await partitions.create_ahead(engine)
    insert = sa.text("""
        INSERT INTO task_logs (task_id, version, status, change, timestamp, execution_time, retry_count, actor)
        SELECT month, 1, 'pending', 'created', date_trunc('month', now()) + make_interval(months => month),
            now(), 0, 'api'
        FROM generate_series(0, :ahead) AS month
        RETURNING CAST(CAST(tableoid AS regclass) AS text), log_id, CAST(xid AS text)
    """)
    async with engine.connect() as connection:
        rows = (await connection.execute(insert, {"ahead": partitions.MONTHS_AHEAD + 1})).all()
    months = (await logs.months(engine))[-1 - partitions.MONTHS_AHEAD :]  # without those before this one
    assert [row[0] for row in rows] == [*months, "task_logs_default"]
    assert len({row[1] for row in rows}) == len(rows)
    assert len({row[2] for row in rows}) == 1


async def test_a_partition_has_the_keys_of_the_log(engine: Engine) -> None:
    await logs.drop_last(engine)
    await partitions.create_ahead(engine)
    attached = sa.text("""
        SELECT CAST(CAST(inhparent AS regclass) AS text) FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid
        WHERE indrelid = CAST(:name AS regclass) ORDER BY 1
    """)
    last = (await logs.months(engine))[-1]
    async with engine.connect() as connection:
        parents = list((await connection.execute(attached, {"name": last})).scalars())
    assert parents == sorted(["task_logs_pkey", *(str(index.name) for index in log_tables.task_logs.indexes)])
