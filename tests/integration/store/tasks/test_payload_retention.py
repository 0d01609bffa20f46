"""Retention deletes large task_data with its task: neither of them is there without the other, whatever happens."""

import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database, namespaced
from duetime_core.store.tasks import edit, edits, history
from tests.integration.store.tasks.test_payloads import LARGE, OTHER, SMALL, listed, stored
from tests.support import factories

Engine = sqlalchemy_asyncio.AsyncEngine
DAY = datetime.timedelta(days=1)
KEEP = 30 * DAY


async def make_old(engine: Engine, *, has_partition: bool) -> None:
    """Makes all finished tasks end before retention, in a partition of their own or in the default one."""
    ended = datetime.datetime.now(datetime.UTC) - KEEP - 10 * DAY
    days = f"FROM ('{ended.date()}') TO ('{(ended + DAY).date()}')"
    async with engine.connect() as connection:
        if has_partition:
            await connection.execute(sa.text(f"CREATE TABLE old_tasks PARTITION OF ended_tasks FOR VALUES {days}"))
        await connection.execute(sa.text("UPDATE ended_tasks SET ended_at = :ended"), {"ended": ended})


@pytest.mark.parametrize("has_partition", [True, False], ids=["a partition", "the default partition"])
async def test_retention_leaves_no_payload_without_a_task(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, has_partition: bool
) -> None:
    monkeypatch.setattr(history, "BATCH", 3)
    monkeypatch.setattr(history, "LARGE_BATCH", 1)
    for data in (LARGE, SMALL, OTHER, SMALL, LARGE):
        await factories.brought_to(engine, task.Status.COMPLETED, task_data=data)
    deleted = await factories.brought_to(engine, task.Status.CANCELLED, task_data=OTHER)
    await edit.delete(engine, deleted, actor="api")
    await make_old(engine, has_partition=has_partition)
    kept = await factories.brought_to(engine, task.Status.COMPLETED, task_data=LARGE)
    pending = await factories.create(engine, task_data=OTHER)
    drop = history.drop_oldest if has_partition else history.delete_strays
    assert [count async for count in drop(engine, KEEP)] == [2, 2, 1, 1, 0]  # none with two large ones
    assert await listed(engine) == {kept: LARGE, pending: OTHER}
    assert await stored(engine) == [kept, pending]


async def test_retention_that_dies_before_its_partition_is_dropped_leaves_no_task_without_its_task_data(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH", 1)
    for data in (LARGE, SMALL, OTHER):
        await factories.brought_to(engine, task.Status.FAILED, task_data=data)
    await make_old(engine, has_partition=True)
    async for _ in history.drop_oldest(engine, KEEP):
        break
    found = await listed(engine)
    assert list(found.values()) == [SMALL, OTHER]
    last = max(found)
    assert (await edit.retry(engine, last, actor="api"))[0].task_data == OTHER
    assert sum([count async for count in history.drop_oldest(engine, KEEP)]) == 1
    assert await listed(engine) == {last: OTHER}
    assert await stored(engine) == [last]


async def test_retention_waits_for_no_caller_who_holds_a_task_and_leaves_its_partition(engine: Engine) -> None:
    held, _ = [await factories.brought_to(engine, task.Status.FAILED, task_data=LARGE) for _ in range(2)]
    await make_old(engine, has_partition=True)
    async with database.transaction(engine) as holder:
        retrying = namespaced.text(f"WITH {edits.of_retried('{}.task_id = :task_id', 'FOR UPDATE')} SELECT 1")
        await holder.execute(retrying, {"task_id": held, "actor": "api"})
        with pytest.raises(errors.LogBusy):
            assert [count async for count in history.drop_oldest(engine, KEEP)]
    assert await listed(engine) == {held: LARGE}
    assert [count async for count in history.drop_oldest(engine, KEEP)] == [0]
    assert await stored(engine) == [held]
