"""Turns advance due schedules, pass over locked tasks, and set aside what fails."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, schedule, task
from duetime_core.postgres import database
from duetime_core.store.schedules import advance as schedule_advance
from duetime_core.store.schedules import candidates, occurrences
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import explain as task_explain
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.integration.store.schedules.test_odd_schedules import NO_ZONE, spoil
from tests.integration.store.schedules.test_schedule_claims import nominals, shift, skips
from tests.support import backlogs, factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)

_MANY = """
INSERT INTO schedules (name, spec, template, overlap, catch_up, last_nominal_time, zone_version)
SELECT name, spec, template, overlap, catch_up, last_nominal_time, zone_version
FROM schedules CROSS JOIN generate_series(2, :count) AS n WHERE schedule_id = :id;
"""
_NEXT = backlogs.made(
    "schedules WHERE schedule_id <> :id",
    execution_time="CAST(:next_time AS timestamptz)",
    schedule_id="schedule_id",
    nominal_time="CAST(:next_time AS timestamptz)",
    is_next="true",
)
_THEIR_TASKS = f"WITH {_NEXT} SELECT count(*) FROM made"


async def many(engine: Engine, count: int, **changes: Any) -> schedule.Schedule:
    """Creates many schedules that differ only in their ids, with a next occurrence each; returns the first."""
    made = await factories.create_schedule(engine, **changes)
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text(_MANY), {"count": count, "id": made.schedule_id})
        await connection.execute(sa.text(_THEIR_TASKS), {"id": made.schedule_id, "next_time": made.next_time})
        await connection.execute(sa.text("UPDATE schedules SET advance_at = :at"), {"at": made.advance_at})
    return made


async def test_locked_next_tasks_use_up_no_limit(engine: Engine) -> None:
    await many(engine, schedule_advance.MOST + 50)
    sound = await factories.create_schedule(engine, name="sound")
    await shift(engine, HOUR)
    async with engine.connect() as connection:  # the last one in order
        await connection.execute(
            sa.text("UPDATE schedules SET advance_at = now() WHERE schedule_id = :id"), {"id": sound.schedule_id}
        )
    others = await rows.ids(engine, "schedule_id <> :id AND is_next", id=sound.schedule_id)
    async with rows.locked(engine, *others):
        turns = [await schedule_advance.turn(engine, actor="worker") for _ in range(2)]
        released = [each.task_id for turn in turns for each in turn.tasks if each.status is task.Status.PENDING]
        assert sound.next_task_id in released
    assert [turn.count for turn in turns] == [0, 1]


async def test_a_schedule_that_fails_is_set_aside_with_its_error_and_backoff(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = await factories.create_schedule(engine), await factories.create_schedule(engine)
    await shift(engine, HOUR)
    insert = occurrences.insert

    async def insert_unless_broken(connection: Any, tasks: Any, *, actor: str) -> Any:
        if any(each["schedule_id"] == broken.schedule_id for each in tasks):
            raise errors.TaskIdsExhausted
        return await insert(connection, tasks, actor=actor)

    monkeypatch.setattr(occurrences, "insert", insert_unless_broken)
    waits = []
    for _ in range(3):
        assert await factories.advance(engine) >= 1
        present = await schedule_edit.get(engine, broken.schedule_id)
        assert present.advance_at is not None
        waits.append((present.advance_at - datetime.datetime.now(datetime.UTC)).total_seconds())
        await set_clock(engine, broken, "now()")
    assert [pytest.approx(each, abs=1) for each in waits] == [2, 4, 8]
    assert (present.advance_failures, present.advance_error) == (3, str(errors.TaskIdsExhausted()))
    assert (await schedule_edit.get(engine, sound.schedule_id)).last_nominal_time > sound.last_nominal_time - HOUR
    # All is as it was, and continues once it can.
    assert {status: len(times) for status, times in (await nominals(engine, broken)).items()} == {"next": 1}
    assert present.next_task_id is not None
    facts = await task_explain.read(engine, present.next_task_id)
    assert facts.advance_error == present.advance_error
    monkeypatch.undo()
    await factories.advance(engine)
    recovered = await schedule_edit.get(engine, broken.schedule_id)
    assert (recovered.advance_failures, recovered.advance_error) == (0, None)


async def set_clock(engine: Engine, made: schedule.Schedule, at: str) -> None:
    async with engine.connect() as connection:
        statement = sa.text(f"UPDATE schedules SET advance_at = {at} WHERE schedule_id = :id")
        await connection.execute(statement, {"id": made.schedule_id})


async def test_an_unreadable_schedule_is_retried_each_half_minute(engine: Engine) -> None:
    broken = await factories.create_schedule(engine)
    await spoil(engine, broken, NO_ZONE)
    await set_clock(engine, broken, "now()")
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE schedules SET advance_failures = 20, next_due_at = NULL"))
    assert await factories.advance(engine) == 1
    async with engine.connect() as connection:
        left = await connection.scalar(sa.text("SELECT extract(epoch FROM advance_at - now()) FROM schedules"))
    assert 20 < left <= 30


async def test_schedules_that_are_far_behind_do_not_delay_those_that_are_due_just_now(engine: Engine) -> None:
    await many(engine, schedule_advance.MOST + 50, catch_up=schedule.CatchUp.ALL)
    await shift(engine, 24 * HOUR)
    punctual = await factories.create_schedule(engine, name="punctual")
    await shift(engine, HOUR)
    await set_clock(engine, punctual, "now()")
    await schedule_advance.turn(engine, actor="worker")
    assert len((await nominals(engine, punctual))["next"]) == 1
    await schedule_advance.turn(engine, actor="worker", newest_first=True)
    assert set(await nominals(engine, punctual)) == {"next", "pending"}


async def test_a_task_that_was_moved_forward_is_found_behind_thousands_that_wait(engine: Engine) -> None:
    await many(engine, 2 * candidates.PAGE, overlap=schedule.Overlap.QUEUE)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE schedules SET is_waiting = true"))
    await shift(engine, 2 * HOUR)
    moved = await factories.create_schedule(engine, name="moved")
    assert moved.next_task_id is not None
    now = {"execution_time": datetime.datetime.now(datetime.UTC)}
    await task_edit.update(engine, moved.next_task_id, now, version=None, actor="api")
    found, positions = await candidates.moved(engine, [task.DEFAULT_QUEUE, "mail"], {})
    assert found == [moved.schedule_id]
    # The look continues where it ended, and begins again.
    for _ in range(2):
        found, positions = await candidates.moved(engine, [task.DEFAULT_QUEUE, "mail"], positions)
        assert found == []
    assert positions == {}


async def test_looking_at_each_page_finds_every_schedule_whose_run_has_ended(engine: Engine) -> None:
    await many(engine, 2 * candidates.PAGE + 10, overlap=schedule.Overlap.QUEUE)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE schedules SET is_waiting = true"))
    found: list[int] = []
    after, looks = 0, 0
    while looks == 0 or after:
        page = await candidates.waiting(engine, after)
        found, after, looks = found + page.schedule_ids, page.after, looks + 1
    assert (len(found), looks) == (2 * candidates.PAGE + 10, 3)


async def test_a_jump_of_the_databases_clock_is_downtime(engine: Engine) -> None:
    made = await factories.create_schedule(engine, spec={"cron": factories.hourly()}, catch_up=schedule.CatchUp.NONE)
    await shift(engine, 6 * HOUR)
    await factories.advance(engine)
    found = await nominals(engine, made)
    logged = {each.nominal_time for each in await skips(engine, made)}
    assert len(logged) in (5, 6)
    assert found["next"][0] - max(each for each in logged if each) == HOUR


async def test_a_waiting_occurrence_is_released_when_its_outcome_names_it(engine: Engine) -> None:
    made = await factories.create_schedule(engine, overlap=schedule.Overlap.QUEUE)
    await shift(engine, HOUR)
    (running,) = (await factories.claim_scheduled(engine)).tasks
    await shift(engine, HOUR)
    await factories.advance(engine)
    assert await candidates.ended(engine, [made.schedule_id]) == []
    await task_outcomes.record(engine, [factories.outcome(running)], worker_id="worker")
    assert await candidates.ended(engine, [made.schedule_id]) == [made.schedule_id]
    turn = await schedule_advance.turn(engine, actor="worker", schedule_ids=[made.schedule_id])
    assert turn.count == 1
    assert len((await factories.claim_locked(engine)).tasks) == 1
