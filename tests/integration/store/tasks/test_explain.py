"""The facts that explain why a task does not run."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import schedule
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import explain
from duetime_core.store.tasks import outcomes as task_outcomes
from tests.integration.store.schedules.test_schedule_claims import due
from tests.support import factories


async def test_an_occurrence_waits_for_an_earlier_run_of_its_schedule_until_that_ends(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    queued, parallel = [
        await due(engine, name=overlap, overlap=overlap) for overlap in (schedule.Overlap.QUEUE, schedule.Overlap.ALLOW)
    ]
    runs = (await factories.claim_scheduled(engine)).tasks
    assert {run.schedule_id for run in runs} == {queued.schedule_id, parallel.schedule_id}

    async def waits(made: schedule.Schedule) -> bool:
        upcoming = (await schedule_edit.get(engine, made.schedule_id)).next_task_id
        assert upcoming is not None
        return (await explain.read(engine, upcoming)).waits_for_run

    assert [await waits(made) for made in (queued, parallel)] == [True, False]
    assert not (await explain.read(engine, runs[0].task_id)).waits_for_run
    await task_outcomes.record(engine, [factories.outcome(run) for run in runs], worker_id="worker")
    assert not await waits(queued)
