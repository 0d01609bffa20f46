"""Workers advance schedules: each nominal time has one task, over all workers and crashes."""

import asyncio
import datetime
import itertools
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import schedule, task
from duetime_core.postgres import database
from duetime_core.store.claiming import fast
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.schedules import advance as schedule_advance
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.schedules import log as schedule_log
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.support import factories, rows

HOUR = datetime.timedelta(hours=1)
DAY = datetime.timedelta(days=1)


async def shift(engine: sqlalchemy_asyncio.AsyncEngine, span: datetime.timedelta) -> None:
    """Lets so much time pass for all schedules: moves the times in the database into the past."""
    assignments = (
        *(
            ("schedules", f"{column} = {column} - :span")
            for column in ("last_nominal_time", "next_nominal_time", "next_due_at", "advance_at")
        ),
        *(("schedule_logs", f"{column} = {column} - :span") for column in ("nominal_time", "until")),
    )
    async with database.transaction(engine) as connection:
        await rows.shift(connection, span)
        for table, assignment in assignments:
            await connection.execute(sa.text(f"UPDATE {table} SET {assignment}"), {"span": span})


async def nominals(engine: sqlalchemy_asyncio.AsyncEngine, made: schedule.Schedule) -> dict[str, list[Any]]:
    """Returns the nominal times of a schedule's tasks, by their status; the next one's as `next`."""
    found: dict[str, list[Any]] = {}
    columns = "CASE WHEN is_next THEN 'next' ELSE status END AS kind, nominal_time"
    for row in await rows.read(engine, columns, "schedule_id = :id AND deleted_at IS NULL", id=made.schedule_id):
        found.setdefault(row.kind, []).append(row.nominal_time)
    return {kind: sorted(times) for kind, times in found.items()}


async def skips(engine: sqlalchemy_asyncio.AsyncEngine, made: schedule.Schedule) -> list[schedule.ScheduleLog]:
    logs = await schedule_log.list_logs(engine, made.schedule_id, after=0, limit=1000)
    return [each for each in logs if each.change == "skipped"]


async def due(engine: sqlalchemy_asyncio.AsyncEngine, **changes: Any) -> schedule.Schedule:
    """Creates a schedule of each hour, whose next occurrence is due since a second."""
    made = await factories.create_schedule(engine, **changes)
    assert made.next_time is not None
    second = datetime.timedelta(seconds=1)
    await shift(engine, made.next_time - datetime.datetime.now(datetime.UTC) + second)
    return await schedule_edit.get(engine, made.schedule_id)


async def test_a_due_occurrence_runs_and_the_one_after_it_waits(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    made = await due(engine, template={"task_data": {"a": 1}, "priority": 3, "max_retries": 5})
    ordinary = await fast.claim(engine, queue=task.DEFAULT_QUEUE, worker_id="worker", limit=9, lease=factories.LEASE)
    assert (ordinary.tasks, ordinary.has_occurrences) == ([], True)
    claim = await factories.claim_scheduled(engine)
    (claimed,) = claim.tasks
    assert (claimed.schedule_id, claimed.nominal_time) == (made.schedule_id, made.next_time)
    assert (claimed.name, claimed.task_data, claimed.priority, claimed.max_retries) == ("noop", {"a": 1}, 3, 5)
    assert claim.has_occurrences is False
    after = await schedule_edit.get(engine, made.schedule_id)
    assert after.next_time is not None
    assert made.next_time is not None
    assert after.next_time - made.next_time < HOUR
    assert after.last_nominal_time == made.next_time
    assert claim.next_due_at == after.next_time


async def test_concurrent_claims_create_each_occurrence_once(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    made = [await factories.create_schedule(engine, name=f"schedule {number}") for number in range(20)]
    await shift(engine, HOUR)
    claimed = await asyncio.gather(
        *(factories.claim_scheduled(engine, worker_id=f"worker-{number}", limit=7) for number in range(8))
    )
    claimed += [await factories.claim_scheduled(engine)]
    tasks = [each for claim in claimed for each in claim.tasks]
    assert sorted(each.schedule_id or 0 for each in tasks) == [each.schedule_id for each in made]
    for each in made:
        assert len((await nominals(engine, each))["next"]) == 1


async def test_a_worker_that_dies_before_its_commit_changes_nothing(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    made = await due(engine)
    connection = await engine.execution_options(isolation_level="READ COMMITTED").connect()
    rows = (await connection.execute(schedule_advance._LOCK_OLDEST, {"limit": 9})).all()
    await schedule_advance._advance_all(connection, rows, "doomed")
    # Other turns pass over the rows that it has locked.
    assert (await factories.claim_scheduled(engine)).tasks == []
    await connection.invalidate()
    await connection.close()
    async with asyncio.timeout(5):
        # PostgreSQL takes a moment to detect that it has died, and sends no notification of that.
        while not (taken := (await factories.claim_scheduled(engine)).tasks):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(taken) == 1
    found = await nominals(engine, made)
    assert {status: len(times) for status, times in found.items()} == {"running": 1, "next": 1}


async def test_occurrences_of_a_full_or_paused_queue_become_tasks_that_wait_for_it(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"max_running": 2}, is_new=True, actor="api")
    made = [await factories.create_schedule(engine, name=f"schedule {number}") for number in range(5)]
    await shift(engine, HOUR)
    claim = await factories.claim_scheduled(engine)
    assert (len(claim.tasks), claim.waits_for_runs) == (2, True)
    await queue_limit.update(engine, task.DEFAULT_QUEUE, {"is_paused": True}, is_new=False, actor="api")
    await shift(engine, HOUR)
    assert (await factories.claim_scheduled(engine)).tasks == []
    found = [await nominals(engine, each) for each in made]
    assert sum(len(each.get("pending", [])) for each in found) == 3 + 5
    assert [await skips(engine, each) for each in made] == [[]] * 5


async def test_after_downtime_the_last_occurrence_runs_and_the_others_are_logged(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    made = await factories.create_schedule(engine, spec={"cron": factories.hourly()})
    await shift(engine, 5 * HOUR)
    claimed = [each for _ in range(2) for each in (await factories.claim_scheduled(engine)).tasks]
    assert len(claimed) == 1
    found = await nominals(engine, made)
    assert {status: len(times) for status, times in found.items()} == {"cancelled": 1, "running": 1, "next": 1}
    skipped = await skips(engine, made)
    assert len(skipped) in (3, 4)
    assert {each.reason for each in skipped} == {"it was missed, a later one was due as well, and catch_up is last"}
    (cancelled,) = found["cancelled"]
    assert skipped[0].nominal_time == cancelled
    times = sorted([*(each.nominal_time for each in skipped), *found["running"], *found["next"]])
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {HOUR}


async def test_after_downtime_all_occurrences_run_if_catch_up_is_all(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    made = await factories.create_schedule(engine, spec={"cron": factories.hourly()}, catch_up=schedule.CatchUp.ALL)
    await shift(engine, 5 * HOUR)
    claimed = [each for _ in range(8) for each in (await factories.claim_scheduled(engine)).tasks]
    assert len(claimed) in (4, 5)
    assert await skips(engine, made) == []


async def test_an_occurrence_is_skipped_while_an_earlier_one_runs(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    made = await due(engine, overlap=schedule.Overlap.SKIP)
    (running,) = (await factories.claim_scheduled(engine)).tasks
    await shift(engine, HOUR)
    assert (await factories.claim_scheduled(engine)).tasks == []
    (skipped,) = await skips(engine, made)
    assert skipped.reason == "an earlier run had not ended, and overlap is skip"
    await task_outcomes.record(engine, [factories.outcome(running)], worker_id="worker")
    await shift(engine, HOUR)
    assert len((await factories.claim_scheduled(engine)).tasks) == 1


async def test_one_occurrence_waits_for_an_earlier_run(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    made = await due(engine, overlap=schedule.Overlap.QUEUE)
    (running,) = (await factories.claim_scheduled(engine)).tasks
    await shift(engine, HOUR)
    waiting = await schedule_edit.get(engine, made.schedule_id)
    assert (await factories.claim_scheduled(engine)).tasks == []
    assert (await schedule_edit.get(engine, made.schedule_id)).is_waiting
    await task_outcomes.record(engine, [factories.outcome(running)], worker_id="worker")
    (claimed,) = (await factories.claim_scheduled(engine)).tasks
    assert claimed.task_id == waiting.next_task_id


async def test_a_cancelled_occurrence_does_not_end_its_schedule(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    made = await factories.create_schedule(engine)
    assert made.next_task_id is not None
    await task_edit.cancel(engine, made.next_task_id, actor="api")
    await shift(engine, HOUR)
    assert (await factories.claim_scheduled(engine)).tasks == []
    (skipped,) = await skips(engine, made)
    assert skipped.reason == "a caller cancelled its task"
    await shift(engine, HOUR)
    assert len((await factories.claim_scheduled(engine)).tasks) == 1


async def test_a_deleted_occurrence_does_not_end_its_schedule(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    made = await factories.create_schedule(engine)
    assert made.next_task_id is not None
    await task_edit.delete(engine, made.next_task_id, actor="api")
    await shift(engine, 2 * HOUR)
    taken = [each for _ in range(3) for each in (await factories.claim_scheduled(engine)).tasks]
    assert len(taken) == 1


async def test_a_schedule_that_is_over_has_no_next_occurrence(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    end = datetime.datetime.now(datetime.UTC) + HOUR
    made = await factories.create_schedule(engine, spec={"end_time": end})
    assert made.next_time is not None
    await shift(engine, HOUR)
    async with engine.connect() as connection:  # the end is moved along
        await connection.execute(
            sa.text("UPDATE schedules SET spec = jsonb_set(spec, '{end_time}', to_jsonb(CAST(:end AS text)))"),
            {"end": (end - HOUR).isoformat()},
        )
    assert len((await factories.claim_scheduled(engine)).tasks) == 1
    assert (await schedule_edit.get(engine, made.schedule_id)).next_time is None


@pytest.mark.parametrize("overlap", schedule.Overlap)
async def test_a_retried_run_is_an_ordinary_task(
    engine: sqlalchemy_asyncio.AsyncEngine, overlap: schedule.Overlap
) -> None:
    made = await due(engine, overlap=overlap)
    (running,) = (await factories.claim_scheduled(engine)).tasks
    retried = factories.outcome(running, task.Change.RETRY_SCHEDULED, backoff=datetime.timedelta(0))
    await task_outcomes.record(engine, [retried], worker_id="worker")
    assert [each.task_id for each in await factories.claim(engine)] == [running.task_id]
    assert {status: len(times) for status, times in (await nominals(engine, made)).items()} == {"running": 1, "next": 1}


async def test_a_schedule_that_cannot_be_read_keeps_no_other_from_running(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    broken, sound = await factories.create_schedule(engine), await factories.create_schedule(engine)
    await shift(engine, HOUR)
    async with engine.connect() as connection:
        await connection.execute(
            sa.text(
                "UPDATE schedules SET spec = jsonb_set(spec, '{time_zone}', '\"Mars/Olympus\"') WHERE schedule_id = :id"
            ),
            {"id": broken.schedule_id},
        )
    claim = await factories.claim_scheduled(engine)
    assert [each.schedule_id for each in claim.tasks] == [sound.schedule_id]
    # It is unchanged: a worker that can read it continues from there.
    assert len((await nominals(engine, broken))["next"]) == 1
