"""A change of a schedule keeps what stands for a nominal time, and logs what it drops."""

import asyncio
import dataclasses
import datetime
from typing import Any

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
import structlog.testing
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence, schedule, task
from duetime_core.postgres import database
from duetime_core.store.schedules import backfill as schedule_backfill
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import log as schedule_log
from duetime_core.store.schedules import recompute as schedule_recompute
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import history
from duetime_core.store.tasks import read as task_read
from tests.integration.store.schedules.test_odd_schedules import outdate
from tests.integration.store.schedules.test_schedule_claims import due, nominals, shift, skips
from tests.support import backlogs, factories, logs, rows

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)
SECOND = datetime.timedelta(seconds=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def update(engine: Engine, made: schedule.Schedule, **changes: Any) -> schedule.Schedule:
    changed = await schedule_edit.update(engine, made.schedule_id, changes, version=None, actor="api")
    return changed.schedule


async def change(engine: Engine, made: schedule.Schedule, how: str) -> schedule.Schedule:
    """Renames it, or recomputes it after a release of the time zone database."""
    if how == "rename":
        return await update(engine, made, name="new")
    await outdate(engine)
    await schedule_recompute.recompute(engine, seconds=5, actor="api")
    return await schedule_edit.get(engine, made.schedule_id)


async def edit_next(engine: Engine, made: schedule.Schedule, **changes: Any) -> task.Task:
    assert made.next_task_id is not None
    edited, _ = await task_edit.update(engine, made.next_task_id, changes, version=None, actor="api")
    return edited


async def next_tasks(engine: Engine, made: schedule.Schedule) -> list[int]:
    return await rows.ids(engine, "schedule_id = :id AND is_next", id=made.schedule_id)


HOW = pytest.mark.parametrize("how", ["rename", "recompute"])


@HOW
async def test_an_overdue_occurrence_survives_a_change(engine: Engine, how: str) -> None:
    made = await factories.create_schedule(engine, spec={"cron": factories.hourly()})
    await shift(engine, 3 * HOUR)
    present = await schedule_edit.get(engine, made.schedule_id)
    changed = await change(engine, made, how)
    assert (changed.next_task_id, changed.next_time) == (made.next_task_id, present.next_time)
    await factories.advance(engine)
    # What the downtime missed is decided by catch_up, and nothing is forgotten.
    found = await nominals(engine, made)
    logged = {each.nominal_time for each in await skips(engine, made)}
    times = sorted({each for status in found.values() for each in status} | {each for each in logged if each})
    assert times == [times[0] + number * HOUR for number in range(len(times))]
    assert len(times) in (4, 5)


@HOW
async def test_an_occurrence_that_jitter_delays_survives_a_change(engine: Engine, how: str) -> None:
    made = await factories.create_schedule(engine, spec={"cron": factories.hourly(), "jitter": 59 * MINUTE})
    await shift(engine, HOUR)
    present = await schedule_edit.get(engine, made.schedule_id)
    assert present.next_time is not None
    assert present.next_time <= now()
    changed = await change(engine, made, how)
    assert (changed.next_task_id, changed.next_time) == (made.next_task_id, present.next_time)
    assert changed.next_due_at is not None
    assert changed.next_due_at > present.next_time
    assert await skips(engine, made) == []


@HOW
async def test_an_occurrence_that_waits_for_a_run_survives_a_change(engine: Engine, how: str) -> None:
    made = await due(engine, overlap=schedule.Overlap.QUEUE)
    assert len((await factories.claim_scheduled(engine)).tasks) == 1
    await shift(engine, HOUR)
    assert (await factories.claim_scheduled(engine)).tasks == []
    waiting = await schedule_edit.get(engine, made.schedule_id)
    assert waiting.is_waiting
    changed = await change(engine, made, how)
    assert (changed.is_waiting, changed.next_task_id) == (True, waiting.next_task_id)


@HOW
async def test_a_callers_change_of_the_next_occurrence_survives_a_change(engine: Engine, how: str) -> None:
    made = await factories.create_schedule(engine, template={"task_data": {"a": 1}, "priority": 2})
    later = now() + 5 * HOUR
    edited = await edit_next(engine, made, task_data={"mine": True}, execution_time=later)
    changed = await change(engine, made, how)
    assert changed.next_task_id == made.next_task_id
    found = await task_read.get(engine, edited.task_id)
    assert (found.version, found.task_data, found.execution_time) == (edited.version, {"mine": True}, later)


async def test_a_changed_template_is_merged_with_a_callers_change_of_the_task(engine: Engine) -> None:
    made = await factories.create_schedule(engine, template={"task_data": {"a": 1}, "priority": 2, "max_retries": 5})
    edited = await edit_next(engine, made, task_data={"mine": True})
    template = dataclasses.replace(made.template, task_data={"a": 2}, priority=7, queue="mail")
    await update(engine, made, template=template)
    found = await task_read.get(engine, edited.task_id)
    assert (found.task_data, found.priority, found.queue, found.max_retries) == ({"mine": True}, 7, "mail", 5)
    log = await task_read.list_logs(engine, edited.task_id, after_version=2, limit=9)
    assert [(each.change, each.queue, each.previous_queue) for each in log] == [("updated", "mail", "default")]


async def test_a_rename_leaves_the_next_task_alone(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    assert made.next_task_id is not None
    await update(engine, made, name="new")
    assert await factories.history(engine, made.next_task_id) == ["created"]


async def test_an_edited_occurrence_that_another_one_comes_before_stays_an_ordinary_task(engine: Engine) -> None:
    anchor = (now() + 11.5 * HOUR).replace(microsecond=0)
    made = await factories.create_schedule(engine, spec={"interval": 24 * HOUR, "anchor": anchor})
    edited = await edit_next(engine, made, task_data={"mine": True})
    changed = await update(engine, made, spec=recurrence.Spec(interval=HOUR, anchor=anchor))
    assert changed.next_time is not None
    assert changed.next_time <= now() + HOUR
    assert changed.next_task_id != edited.task_id
    found = await task_read.get(engine, edited.task_id)
    assert (found.is_next, found.status, found.nominal_time) == (False, task.Status.PENDING, made.next_time)
    # The rule passes over its nominal time.
    await shift(engine, 26 * HOUR)
    await factories.advance(engine)
    same = [each for status in (await nominals(engine, made)).values() for each in status]
    assert len(same) == len(set(same))


async def test_what_a_new_rule_no_longer_gives_is_logged(engine: Engine) -> None:
    made = await due(engine, spec={"interval": HOUR})
    present = await schedule_edit.get(engine, made.schedule_id)
    later = now() + 12 * HOUR
    changed = await update(engine, made, spec=recurrence.Spec(cron=f"{later.minute} {later.hour} * * *"))
    (skipped,) = await skips(engine, made)
    assert (skipped.nominal_time, skipped.reason) == (present.next_time, "the schedule was changed before it ran")
    assert changed.next_time is not None
    assert changed.next_time > now()


@pytest.mark.parametrize("end", ["pause", "delete"])
async def test_an_occurrence_whose_time_has_passed_is_logged_when_its_schedule_stops(engine: Engine, end: str) -> None:
    made = await due(engine)
    await getattr(schedule_edit, end)(engine, made.schedule_id, actor="api")
    (skipped,) = await skips(engine, made)
    assert skipped.nominal_time == made.next_time
    assert "before it ran" in (skipped.reason or "")
    assert await factories.advance(engine) == 0


@pytest.mark.parametrize("how", ["rename", "resume"])
async def test_a_database_clock_that_was_ahead_silences_no_schedule_that_is_changed(engine: Engine, how: str) -> None:
    made = await factories.create_schedule(engine, spec={"interval": MINUTE})
    await shift(engine, 24 * HOUR)
    await factories.claim_scheduled(engine)
    await shift(engine, -24 * HOUR)  # set right again
    ahead = await schedule_edit.get(engine, made.schedule_id)
    assert ahead.next_time is not None
    assert ahead.next_time > now() + 23 * HOUR
    with structlog.testing.capture_logs() as logged:
        if how == "rename":
            changed = await update(engine, made, name="new")
        else:
            await schedule_edit.pause(engine, made.schedule_id, actor="api")
            changed = (await schedule_edit.resume(engine, made.schedule_id, actor="api")).schedule
    assert changed.next_time is not None
    # That of this minute was skipped as missed, and has a cancelled task.
    assert changed.next_time <= now() + 2 * MINUTE
    assert "ahead of the database's clock" in str(logged)
    await shift(engine, 2 * MINUTE)
    assert len((await factories.claim_scheduled(engine)).tasks) == 1


@pytest.mark.parametrize("refuse", ["cancel", "delete"])
async def test_a_refused_occurrence_does_not_come_back(engine: Engine, refuse: str) -> None:
    made = await factories.create_schedule(engine)
    assert made.next_time is not None
    assert made.next_task_id is not None
    await getattr(task_edit, refuse)(engine, made.next_task_id, actor="api")
    await update(engine, made, name="new")
    assert "next" not in await nominals(engine, made) or refuse == "cancel"
    # Also by another rule, or a pause.
    await update(engine, made, spec=recurrence.Spec(interval=HOUR / 2, anchor=made.next_time))
    await schedule_edit.pause(engine, made.schedule_id, actor="api")
    await rows.change(engine, "updated_at = '2000-01-01'")
    assert sum([deleted async for deleted in history.delete_strays(engine, 24 * HOUR)]) >= 1  # its time stays taken
    resumed = (await schedule_edit.resume(engine, made.schedule_id, actor="api")).schedule
    assert resumed.next_time != made.next_time
    await shift(engine, 2 * HOUR)
    await factories.advance(engine)
    begin = made.next_time - 2 * HOUR
    await schedule_backfill.backfill(engine, made.schedule_id, start_time=begin, end_time=begin, actor="api")
    found = await nominals(engine, made)
    assert begin not in [each for status in found if status != "cancelled" for each in found[status]]


async def test_a_cancel_during_an_update_leaves_one_next_occurrence(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    async with database.transaction(engine) as connection:
        await rows.end(connection, task.Status.CANCELLED, those=task.Status.PENDING)
        updating = asyncio.create_task(update(engine, made, spec=recurrence.Spec(cron="7 7 * * *")))
        await logs.waits_for_a_row(engine)
    changed = await updating
    assert await next_tasks(engine, made) == [changed.next_task_id]
    assert made.next_task_id is not None
    await task_edit.retry(engine, made.next_task_id, actor="api")
    assert (await schedule_edit.get(engine, made.schedule_id)).next_task_id == changed.next_task_id
    assert await next_tasks(engine, made) == [changed.next_task_id]


async def test_a_resume_that_waits_is_logged_with_the_time_from_which_it_counts(engine: Engine) -> None:
    made = await factories.create_schedule(engine, spec={"interval": SECOND}, is_paused=True)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT FROM schedules FOR UPDATE"))
        resuming = asyncio.create_task(schedule_edit.resume(engine, made.schedule_id, actor="api"))
        await logs.waits_for_a_row(engine)
        await asyncio.sleep(1.1)  # at least one of its times passes
    resumed = (await resuming).schedule
    *_, logged = await schedule_log.list_logs(engine, made.schedule_id, after=0, limit=10)
    assert logged.change == "resumed"
    assert resumed.next_time is not None
    assert logged.timestamp < resumed.next_time <= logged.timestamp + SECOND


@pytest.mark.parametrize("end", ["pause", "delete"])
async def test_a_stop_that_waits_is_logged_after_the_times_that_it_skips(engine: Engine, end: str) -> None:
    made = await factories.create_schedule(engine, spec={"interval": SECOND})
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SELECT FROM schedules FOR UPDATE"))
        stopping = asyncio.create_task(getattr(schedule_edit, end)(engine, made.schedule_id, actor="api"))
        await logs.waits_for_a_row(engine)
        await asyncio.sleep(1.1)  # at least one of its times passes
    await stopping
    _, stopped, *skipped = await schedule_log.list_logs(engine, made.schedule_id, after=0, limit=10)
    assert stopped.change == {"pause": "paused", "delete": "deleted"}[end]
    last = skipped[-1].nominal_time
    assert last is not None
    assert last <= stopped.timestamp < last + SECOND
    assert {each.timestamp for each in skipped} == {stopped.timestamp}


async def test_a_second_next_occurrence_is_refused_by_the_database(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    with pytest.raises(sqlalchemy.exc.IntegrityError, match="_next_key"):
        await backlogs.insert(engine, 1, schedule_id=str(made.schedule_id), nominal_time="now()", is_next="true")


async def test_an_ended_schedule_that_is_changed_continues(engine: Engine) -> None:
    made = await factories.create_schedule(engine, spec={"end_time": now() - HOUR})
    assert (made.next_time, made.advance_at) == (None, None)
    changed = await update(engine, made, spec=dataclasses.replace(made.spec, end_time=None))
    assert changed.next_time is not None
    assert changed.advance_at == changed.next_time
