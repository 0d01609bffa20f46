"""Backfilling a schedule: creating tasks, due now, for past nominal times without one."""

import datetime
import itertools

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, payload, recurrence, schedule
from duetime_core.postgres import confirmation, database
from duetime_core.process import threads
from duetime_core.store.schedules import columns, occurrences, row_lock

MAX_BACKFILL = 1_000
"""How many occurrences one backfill creates at most."""
MAX_BATCH_BYTES = 4_000_000
"""How much task_data one of its statements writes; all of them commit together."""


class TooManyOccurrencesError(ValueError):
    """The interval has more than MAX_BACKFILL occurrences."""


async def backfill(
    engine: sqlalchemy_asyncio.AsyncEngine,
    schedule_id: int,
    *,
    start_time: datetime.datetime,
    end_time: datetime.datetime,
    actor: str,
) -> list[occurrences.Placed]:
    """Creates a task, due now, for each nominal time from `start_time` to `end_time` that has none.

    `end_time` is in the past. Raises ScheduleNotFound, ScheduleUnreadable, TooManyOccurrencesError or
    TooManyStepsError, before anything is created.
    """

    async def backfill_in(connection: sqlalchemy_asyncio.AsyncConnection) -> list[occurrences.Placed]:
        filled = await row_lock.lock(connection, schedule_id)
        found = await threads.run(_between, filled, start_time, end_time)
        placed: list[occurrences.Placed] = []
        # Each task has the template's task_data: all at once they could be 250 MB.
        count = max(1, MAX_BATCH_BYTES // len(payload.encode(filled.template.task_data)))
        for first in range(0, len(found), count):
            batch = found[first : first + count]
            encoded = [occurrences.encode(filled, each, is_next=False, is_late=True) for each in batch]
            placed += await occurrences.insert(connection, encoded, actor=actor)
        if placed:
            entry = columns.entry(
                schedule_id,
                "backfilled",
                nominal_time=placed[0].nominal_time.isoformat(),
                until=placed[-1].nominal_time.isoformat(),
            )
            await columns.log(connection, [entry], actor=actor)
        return placed

    async with confirmation.of_refusals(engine):
        return await database.run_to_completion(engine, backfill_in)


def _between(
    filled: schedule.Schedule, start_time: datetime.datetime, end_time: datetime.datetime
) -> list[recurrence.Occurrence]:
    after = recurrence.just_before(start_time)
    try:
        occurring = recurrence.occurrences(filled.spec, after, seed=filled.seed)
        within = itertools.takewhile(lambda each: each.nominal <= end_time, occurring)
        found = list(itertools.islice(within, MAX_BACKFILL + 1))
    except recurrence.UnknownZoneError as error:
        raise errors.ScheduleUnreadable.of(filled.schedule_id, error) from error
    if len(found) > MAX_BACKFILL:
        raise TooManyOccurrencesError
    return found
