"""Triggers and backfills of schedules, and repeats of their requests."""

import asyncio
import dataclasses
import datetime
import functools
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, recurrence, schedule
from duetime_core.postgres import database
from duetime_core.store.schedules import backfill as schedule_backfill
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import log as schedule_log
from duetime_core.store.schedules import occurrences
from duetime_core.store.schedules import trigger as schedule_trigger
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from tests.support import factories, logs

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)


async def last_ids(engine: Engine) -> tuple[int, int]:
    """Returns the ids of a task and of a schedule that were drawn last."""
    drawn = sa.text("SELECT tasks.last_value, s.last_value FROM tasks_task_id_seq tasks, schedules_schedule_id_seq s")
    async with engine.connect() as connection:
        task_id, schedule_id = (await connection.execute(drawn)).one()
        return task_id, schedule_id


async def trigger(engine: Engine, schedule_id: int, request_id: str | None = None) -> int:
    placed = await schedule_trigger.trigger(engine, schedule_id, request_id=request_id, actor="api")
    return placed if isinstance(placed, int) else placed.task_id


async def test_repeated_requests_draw_no_ids(engine: Engine) -> None:
    new = factories.new_schedule(request_id="schedule")
    made = (await schedule_edit.create(engine, new, actor="api")).schedule
    triggered = await trigger(engine, made.schedule_id, "trigger")
    end = datetime.datetime.now(datetime.UTC)
    backfill = functools.partial(
        schedule_backfill.backfill, engine, made.schedule_id, start_time=end - 100 * HOUR, end_time=end, actor="api"
    )
    filled = await backfill()
    assert len(filled) in (100, 101)
    drawn = await last_ids(engine)
    for _ in range(3):
        assert (await schedule_edit.create(engine, new, actor="api")).schedule.schedule_id == made.schedule_id
        assert await trigger(engine, made.schedule_id, "trigger") == triggered
        assert await backfill() == []
        with pytest.raises(errors.RequestIdReused):
            await schedule_edit.create(engine, factories.new_schedule(request_id="schedule", name="x"), actor="api")
    assert await last_ids(engine) == drawn


async def test_a_trigger_whose_request_id_a_create_takes_meanwhile_is_refused(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    encoded = [task_create._encode(factories.new_task(request_id="r"))]
    async with database.transaction(engine) as connection:
        (created,) = await task_create._create(connection, encoded, "api")
        triggering = asyncio.create_task(trigger(engine, made.schedule_id, "r"))
        await logs.waits_for_a_row(engine)
    assert isinstance(created, task_create.Created)
    with pytest.raises(errors.RequestIdReused) as refused:
        await triggering
    assert refused.value.metadata == {"request_id": "r", "task_id": str(created.task_id)}


async def test_concurrent_triggers_all_create_a_task(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    assert len({*await asyncio.gather(*(trigger(engine, made.schedule_id) for _ in range(20)))}) == 20
    encoded = [occurrences.encode(made, None, is_next=False)]
    async with database.transaction(engine) as connection:  # in which now() does not advance
        assert len(await occurrences.insert(connection, encoded, actor="api")) == 1
        assert len(await occurrences.insert(connection, encoded, actor="api")) == 1


async def test_a_trigger_whose_task_was_cancelled_or_deleted_is_refused_with_the_reason(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    await task_edit.cancel(engine, await trigger(engine, made.schedule_id, "c"), actor="api")
    await task_edit.delete(engine, await trigger(engine, made.schedule_id, "d"), actor="api")
    with pytest.raises(errors.RequestIdOfCancelledTask, match=r"'c' created task .*, which was cancelled"):
        await trigger(engine, made.schedule_id, "c")
    with pytest.raises(errors.RequestIdOfDeletedTask, match=r"'d' created task .*, which was deleted"):
        await trigger(engine, made.schedule_id, "d")


async def test_a_request_whose_schedule_was_deleted_is_refused_with_the_reason(engine: Engine) -> None:
    new = factories.new_schedule(request_id="r")
    made = (await schedule_edit.create(engine, new, actor="api")).schedule
    await schedule_edit.delete(engine, made.schedule_id, actor="api")
    with pytest.raises(errors.RequestIdOfDeletedSchedule) as refused:
        await schedule_edit.create(engine, new, actor="api")
    assert refused.value.metadata == {"request_id": "r", "schedule_id": str(made.schedule_id)}
    other = factories.new_schedule(request_id="r", name="other")
    with pytest.raises(errors.RequestIdReused, match=r"\(deleted\)"):
        await schedule_edit.create(engine, other, actor="api")


async def test_the_log_row_of_an_update_names_the_changed_fields(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    spec = recurrence.Spec(cron="0 9 * * *", time_zone="Europe/Berlin")
    template = dataclasses.replace(made.template, queue="mail", priority=3)
    for changes in (
        {"spec": spec},
        {"template": template, "overlap": schedule.Overlap.SKIP},
        {"name": "other", "spec": spec, "template": template},
        {"name": "other"},  # nothing changes
    ):
        await schedule_edit.update(engine, made.schedule_id, changes, version=None, actor="api")
    logged = await schedule_log.list_logs(engine, made.schedule_id, after=0, limit=10)
    assert [(line.change, line.reason) for line in logged if line.change != "skipped"] == [
        ("created", None),
        ("updated", "cron, interval, anchor, time_zone"),
        ("updated", "overlap, task.queue, task.priority"),
        ("updated", "name"),
        ("updated", None),
    ]


async def test_a_backfill_with_large_task_data_writes_it_in_several_statements_and_one_commit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_backfill, "MAX_BATCH_BYTES", 1_000)
    inserted: list[int] = []
    insert = occurrences.insert

    async def counting(connection: Any, encoded: Any, *, actor: str) -> list[occurrences.Placed]:
        inserted.append(len(encoded))
        return await insert(connection, encoded, actor=actor)

    monkeypatch.setattr(occurrences, "insert", counting)
    hourly = await factories.create_schedule(engine, template={"task_data": {"a": "x" * 250}})
    inserted.clear()
    now = datetime.datetime.now(datetime.UTC)
    placed = await schedule_backfill.backfill(
        engine,
        hourly.schedule_id,
        start_time=now - datetime.timedelta(hours=8),
        end_time=now - datetime.timedelta(minutes=1),
        actor="api",
    )
    assert len(placed) == 8
    assert inserted == [3, 3, 2]
    async with engine.connect() as connection:
        commits = sa.text("SELECT count(DISTINCT xid) FROM task_logs WHERE change = 'created'")
        assert await connection.scalar(commits) == 2  # the next occurrence was created before
