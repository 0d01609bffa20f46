"""Schedules that callers deleted are forgotten by retention, with their request ids."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, schedule
from duetime_core.store.log import retention
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import log as schedule_log
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import history
from tests.integration.store.schedules.test_schedule_claims import shift
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
DAY = datetime.timedelta(days=1)
KEEP = 30 * DAY


async def test_schedules_that_were_deleted_long_ago_are_forgotten_with_their_request_ids(engine: Engine) -> None:
    new = [factories.new_schedule(request_id=name, is_paused=True) for name in ("kept", "lately", "long ago")]
    made = [(await schedule_edit.create(engine, each, actor="api")).schedule for each in new]
    for each, days in zip(made[1:], (29, 31), strict=True):
        await schedule_edit.delete(engine, each.schedule_id, actor="api")
        async with engine.connect() as connection:
            await connection.execute(
                sa.text("UPDATE schedules SET deleted_at = now() - :age WHERE schedule_id = :schedule_id"),
                {"age": days * DAY, "schedule_id": each.schedule_id},
            )
    assert [count async for count in retention.delete_schedules(engine, KEEP)] == [1]
    again = [await outcome(engine, each) for each in new]
    assert again[:2] == [made[0].schedule_id, errors.RequestIdOfDeletedSchedule]
    assert again[2] not in {each.schedule_id for each in made}
    assert [line.change for line in await schedule_log.list_logs(engine, made[2].schedule_id, after=0, limit=9)] == [
        "created",
        "deleted",
    ]


async def test_a_request_whose_schedule_is_forgotten_while_it_looks_creates_another(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = factories.new_schedule(request_id="r")
    made = (await schedule_edit.create(engine, new, actor="api")).schedule
    await schedule_edit.delete(engine, made.schedule_id, actor="api")
    find, looks = schedule_edit._find_request, 0

    async def forgotten(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:  # after the insert found the request_id taken
            async with engine.connect() as connection:
                await connection.execute(sa.text("DELETE FROM schedules"))
        return None if looks == 1 else await find(*arguments)

    monkeypatch.setattr(schedule_edit, "_find_request", forgotten)
    created = (await schedule_edit.create(engine, new, actor="api")).schedule
    assert (created.schedule_id > made.schedule_id, looks) == (True, 2)


async def refused(engine: Engine) -> schedule.Schedule:
    """Returns a schedule whose next occurrence a caller cancelled, so long ago that its task is deleted."""
    made = await factories.create_schedule(engine)
    assert made.next_task_id is not None
    await task_edit.cancel(engine, made.next_task_id, actor="api")
    await rows.change(engine, "updated_at = '2000-01-01'")
    assert sum([count async for count in history.delete_strays(engine, KEEP)]) == 1
    return made


async def times(engine: Engine, made: schedule.Schedule) -> int:
    """Returns how many nominal times the schedule keeps after a round of retention."""
    assert [count async for count in retention.free_times(engine, KEEP)] != []
    return len(await rows.occurrences(engine, made.schedule_id))


async def test_a_refused_nominal_time_whose_task_is_deleted_is_freed_long_after_it(engine: Engine) -> None:
    made = await refused(engine)
    assert await times(engine, made) == 1  # it is still to come
    await shift(engine, 61 * DAY)
    assert await times(engine, made) == 1  # its schedule has not advanced
    await factories.advance(engine)
    kept = await rows.occurrences(engine, made.schedule_id)
    assert await times(engine, made) == len(kept) - 1


async def test_the_nominal_time_of_a_task_that_runs_for_long_stays_taken(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    await shift(engine, 61 * DAY)
    ((taken, _),) = await rows.occurrences(engine, made.schedule_id)
    await factories.claim_scheduled(engine)
    await times(engine, made)
    assert taken in [moment for moment, _ in await rows.occurrences(engine, made.schedule_id)]


async def test_a_refused_nominal_time_is_freed_once_its_schedule_is_forgotten(engine: Engine) -> None:
    made = await refused(engine)
    await schedule_edit.delete(engine, made.schedule_id, actor="api")
    assert await times(engine, made) == 1
    assert [count async for count in retention.delete_schedules(engine, -DAY)] == [1]
    assert await times(engine, made) == 0


async def outcome(engine: Engine, new: schedule.NewSchedule) -> int | type[Exception]:
    """Returns the schedule that a request creates or created, or why it is refused."""
    try:
        return (await schedule_edit.create(engine, new, actor="api")).schedule.schedule_id
    except errors.RequestIdTaken as refused:
        return type(refused)
