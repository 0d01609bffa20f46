"""Schedules that this release cannot read or place do not affect others."""

import dataclasses
import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, recurrence, schedule, task
from duetime_core.store.schedules import backfill as schedule_backfill
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import page as schedule_page
from duetime_core.store.schedules import recompute as schedule_recompute
from duetime_core.store.schedules import trigger as schedule_trigger
from duetime_core.store.tasks import relocate
from tests.integration.store.schedules.test_schedule_claims import nominals, shift, skips
from tests.support import factories, rows

HOUR = datetime.timedelta(hours=1)

# Rows that another release wrote, or damaged ones.
ODD = {
    "a policy": "jsonb_set(spec, '{repeated_time}', '\"sometimes\"')",
    "a behavior": "jsonb_set(spec, '{blackouts}', '[{\"behavior\": \"ask\"}]')",
    "a date": 'jsonb_set(spec, \'{blackouts}\', \'[{"behavior": "skip", "first_date": "10000-01-01"}]\')',
    "no zone": "spec - 'time_zone'",
    "a number for a time": "jsonb_set(spec, '{start_time}', '5')",
    "a span that has no end": "jsonb_set(spec, '{jitter}', '1e30')",
    "no object": "'[]'",
}

NO_ZONE = "jsonb_set(spec, '{time_zone}', '\"Mars/Olympus\"')"


async def spoil(engine: sqlalchemy_asyncio.AsyncEngine, made: schedule.Schedule, spec: str) -> None:
    async with engine.connect() as connection:
        statement = f"UPDATE schedules SET spec = {spec} WHERE schedule_id = :id"
        await connection.execute(sa.text(statement), {"id": made.schedule_id})


async def outdate(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE schedules SET zone_version = '2020a'"))


@pytest.mark.parametrize("odd", ODD)
async def test_a_list_leaves_out_an_unreadable_schedule(engine: sqlalchemy_asyncio.AsyncEngine, odd: str) -> None:
    made = [await factories.create_schedule(engine, name=str(number)) for number in range(5)]
    for broken in (made[1], made[2]):
        await spoil(engine, broken, ODD[odd])
    listed: list[int] = []
    after: int | None = 0
    while after is not None:
        page, after = await schedule_page.list_schedules(engine, schedule_page.Filter(), after=after, limit=2)
        listed += [each.schedule_id for each in page]
    assert listed == [made[number].schedule_id for number in (0, 3, 4)]


async def test_an_unreadable_schedule_fails_with_the_reason_and_can_be_deleted(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    made = await factories.create_schedule(engine)
    await spoil(engine, made, ODD["a policy"])
    calls: dict[str, Any] = {
        "get": schedule_edit.get(engine, made.schedule_id),
        "update": schedule_edit.update(engine, made.schedule_id, {"name": "new"}, version=None, actor="api"),
        "pause": schedule_edit.pause(engine, made.schedule_id, actor="api"),
        "resume": schedule_edit.resume(engine, made.schedule_id, actor="api"),
        "trigger": schedule_trigger.trigger(engine, made.schedule_id, request_id=None, actor="api"),
    }
    for call in calls.values():
        with pytest.raises(errors.ScheduleUnreadable, match=f"Schedule {made.schedule_id} .*'sometimes'"):
            await call
    (withdrawn,) = await schedule_edit.delete(engine, made.schedule_id, actor="api")
    assert (withdrawn.task_id, withdrawn.status) == (made.next_task_id, task.Status.CANCELLED)
    with pytest.raises(errors.ScheduleNotFound):
        await schedule_edit.get(engine, made.schedule_id)


async def test_a_schedule_whose_zone_no_longer_exists_can_be_read_but_not_placed(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    made = await factories.create_schedule(engine)
    await spoil(engine, made, NO_ZONE)
    assert (await schedule_edit.get(engine, made.schedule_id)).spec.time_zone == "Mars/Olympus"
    (listed,), _ = await schedule_page.list_schedules(engine, schedule_page.Filter(), after=0, limit=9)
    assert listed.schedule_id == made.schedule_id
    now = datetime.datetime.now(datetime.UTC)
    for call in (
        schedule_edit.update(engine, made.schedule_id, {"name": "new"}, version=None, actor="api"),
        schedule_backfill.backfill(engine, made.schedule_id, start_time=now - HOUR, end_time=now, actor="api"),
    ):
        with pytest.raises(errors.ScheduleUnreadable, match="Mars/Olympus"):
            await call
    repaired = {"spec": recurrence.Spec(cron="0 * * * *")}
    changed = await schedule_edit.update(engine, made.schedule_id, repaired, version=None, actor="api")
    assert changed.schedule.next_task_id == made.next_task_id


async def test_a_recomputation_passes_over_unreadable_schedules_and_ends(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    made = [await factories.create_schedule(engine, name=str(number)) for number in range(4)]
    await spoil(engine, made[0], ODD["a policy"])
    await spoil(engine, made[2], NO_ZONE)
    await outdate(engine)
    assert await schedule_recompute.recompute(engine, seconds=5, actor="api") == ([], False)
    async with engine.connect() as connection:
        stale = await connection.execute(sa.text("SELECT schedule_id FROM schedules WHERE zone_version = '2020a'"))
        assert sorted(stale.scalars()) == [made[0].schedule_id, made[2].schedule_id]
    # Those that it could not place are unchanged.
    assert {status: len(times) for status, times in (await nominals(engine, made[2])).items()} == {"next": 1}


async def test_the_withdrawn_occurrence_of_a_schedule_that_is_over_is_returned_to_be_announced(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    updated, recomputed = [await factories.create_schedule(engine, name=name) for name in ("updated", "recomputed")]
    over = {"spec": dataclasses.replace(updated.spec, end_time=updated.created_at - HOUR)}
    changed = await schedule_edit.update(engine, updated.schedule_id, over, version=None, actor="api")
    assert [(each.task_id, each.status) for each in changed.tasks] == [(updated.next_task_id, task.Status.CANCELLED)]
    await spoil(engine, recomputed, "jsonb_set(spec, '{end_time}', '\"2020-01-01T00:00:00+00:00\"')")
    await outdate(engine)
    moved, has_more = await schedule_recompute.recompute(engine, seconds=5, actor="api")
    assert [(each.task_id, each.status) for each in moved] == [(recomputed.next_task_id, task.Status.CANCELLED)]
    assert not has_more


async def test_a_recomputation_passes_over_tasks_whose_zone_no_longer_exists(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    due = datetime.datetime(2030, 7, 1, 8, tzinfo=datetime.UTC)
    local = {"local_time": datetime.datetime(2030, 7, 1, 9), "time_zone": "Europe/Lisbon"}  # noqa: DTZ001
    made = [await factories.create(engine, execution_time=due + HOUR, **local) for _ in range(3)]
    await rows.change(engine, "time_zone = 'Mars/Olympus'", made[0])
    await rows.change(engine, "local_time = '9999-12-31 23:59:59', time_zone = 'America/New_York'", made[1])
    moved, _, has_more = await relocate.recompute(engine, seconds=5, actor="api")
    assert ([(each.task_id, each.execution_time) for each in moved], has_more) == ([(made[2], due)], False)


async def test_a_stored_schedule_without_a_later_occurrence_runs_once_more_and_is_over(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    endless, sound = [await factories.create_schedule(engine, name=name) for name in ("endless", "sound")]
    # At three o'clock each day, always within a blackout: an earlier release accepted it.
    spec = """'{"cron": "0 3 * * *", "time_zone": "UTC", "missing_time": "shift", "repeated_time": "first", "blackouts":
        [{"days": [0, 1, 2, 3, 4, 5, 6], "from_time": "02:00:00", "until_time": "05:00:00", "behavior": "skip"}]}'"""
    await spoil(engine, endless, spec)
    await shift(engine, HOUR)
    claimed = await factories.claim_scheduled(engine)
    assert sorted(each.schedule_id or 0 for each in claimed.tasks) == [endless.schedule_id, sound.schedule_id]
    assert (await schedule_edit.get(engine, endless.schedule_id)).next_time is None
    skipped = await skips(engine, endless)
    assert skipped[0].reason == "it is in a blackout"
    assert "found no later occurrence" in str(skipped[-1].reason)
    # It is not advanced again; the other one continues.
    await shift(engine, HOUR)
    assert [each.schedule_id for each in (await factories.claim_scheduled(engine)).tasks] == [sound.schedule_id]
    assert len(await skips(engine, endless)) == len(skipped)


async def test_schedules_of_earlier_releases_keep_their_repeated_time(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    made = await factories.create_schedule(engine, spec={"cron": "*/5 * * * *"})
    assert made.spec.repeated_time is recurrence.RepeatedTime.AUTO
    await spoil(engine, made, "jsonb_set(spec, '{repeated_time}', '\"first\"')")
    kept = await schedule_edit.get(engine, made.schedule_id)
    assert kept.spec.repeated_time is recurrence.RepeatedTime.FIRST
    renamed = await schedule_edit.update(engine, made.schedule_id, {"name": "new"}, version=None, actor="api")
    assert renamed.schedule.spec.repeated_time is recurrence.RepeatedTime.FIRST


async def test_schedules_that_cannot_be_advanced_do_not_use_up_a_claims_limit(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    made = [await factories.create_schedule(engine, name=str(number)) for number in range(9)]
    for number, broken in enumerate(made[:7]):
        await spoil(engine, broken, ODD["a policy"] if number % 2 else NO_ZONE)
    await shift(engine, HOUR)
    claimed = await factories.claim_scheduled(engine, limit=2)
    assert sorted(each.schedule_id or 0 for each in claimed.tasks) == [each.schedule_id for each in made[7:]]
