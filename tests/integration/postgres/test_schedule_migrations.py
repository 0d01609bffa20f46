"""Schedules of earlier releases after the migrations that gave them clocks."""

import datetime

import alembic.command
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import migrate
from duetime_core.postgres import database
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import edit as task_edit
from tests.integration.store.schedules.test_schedule_claims import nominals, shift
from tests.support import factories, first_edition

Engine = sqlalchemy_asyncio.AsyncEngine
HOUR = datetime.timedelta(hours=1)


async def test_schedules_of_an_earlier_release_continue_after_the_migration(empty: Engine) -> None:
    await migrate.upgrade(empty)
    made = [await factories.create_schedule(empty, name=str(number)) for number in range(3)]
    assert made[1].next_task_id is not None
    later = datetime.datetime.now(datetime.UTC) + 5 * HOUR
    await task_edit.update(empty, made[1].next_task_id, {"execution_time": later}, version=None, actor="api")
    async with database.transaction(empty) as connection:
        await connection.run_sync(lambda sync: alembic.command.downgrade(migrate.config(sync), "0013"))
        # A second next occurrence, which no constraint prevented.
        another = (
            "UPDATE tasks SET schedule_id = :to, nominal_time = nominal_time + interval '1 hour' "
            "WHERE schedule_id = :id"
        )
        await connection.execute(sa.text(another), {"to": made[0].schedule_id, "id": made[2].schedule_id})
    await migrate.upgrade(empty)
    await shift(empty, HOUR)
    await factories.advance(empty)
    for each in made[:2]:
        present = await schedule_edit.get(empty, each.schedule_id)
        assert present.next_time is not None
        assert present.next_time > datetime.datetime.now(datetime.UTC)
        assert present.advance_at == present.next_time
    assert "pending" in await nominals(empty, made[1])  # the postponed one


async def test_an_occurrence_that_was_refused_under_0_2_0_is_not_created_again(empty: Engine) -> None:
    await migrate.upgrade(empty)
    made = await factories.create_schedule(empty)
    await first_edition.downgrade(empty)
    async with database.transaction(empty) as connection:
        # As servers of 0.2.0 leave it, which do not know of the clock.
        refuse = "UPDATE tasks SET status = 'cancelled', version = version + 1, deleted_at = now() WHERE is_next"
        await connection.execute(sa.text(refuse))
        await connection.execute(
            sa.text("UPDATE schedules SET next_nominal_time = NULL, next_due_at = NULL, advance_at = NULL")
        )
    await migrate.upgrade(empty)
    refused = (await schedule_edit.get(empty, made.schedule_id)).advance_at
    assert refused is not None
    await shift(empty, HOUR)
    await factories.advance(empty)
    present = await schedule_edit.get(empty, made.schedule_id)
    assert present.next_time is not None
    assert present.next_time > datetime.datetime.now(datetime.UTC)
    assert [status for status, _ in (await nominals(empty, made)).items()] == ["next"]
