"""Outcomes are recorded once, in batches, and only by the worker that still holds the task."""

import asyncio
import dataclasses
import datetime
import json
import random

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import task
from duetime_core.store.claiming import rescue
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests.integration.store import test_leases
from tests.support import factories, rows

Change = task.Change


async def test_a_batch_records_each_outcome(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    done, failed, again, back = await factories.claimed(engine, 4)
    outcomes = [
        factories.outcome(done, result='{"a": 1}'),
        factories.outcome(failed, Change.FAILED, error_message="no"),
        factories.outcome(again, Change.RETRY_SCHEDULED, error_message="not yet"),
        factories.outcome(back, Change.RELEASED),
    ]
    recorded = await task_outcomes.record(engine, outcomes, worker_id="worker")
    assert sorted(recorded.ended) == sorted([done.task_id, failed.task_id])
    waiting = {each.task_id: each for each in recorded.pending}
    assert waiting.keys() == {again.task_id, back.task_id}
    rows = [await task_read.get(engine, each.task_id) for each in (done, failed, again, back)]
    assert [row.status for row in rows] == ["completed", "failed", "pending", "pending"]
    assert [row.result for row in rows] == [{"a": 1}, None, None, None]
    assert [row.error_message for row in rows] == [None, "no", "not yet", None]
    assert [row.retry_count for row in rows] == [0, 0, 1, 0]
    assert {(row.version, row.worker_id, row.lease_expires_at) for row in rows} == {(3, None, None)}
    assert waiting[again.task_id].execution_time == waiting[again.task_id].now + factories.SECOND
    assert rows[3].execution_time == back.execution_time


async def test_any_text_is_recorded_as_it_is(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    texts = ["NULL", "", "{a,b}", 'a "quoted" \\ text,\nand ünicode 🕐', " "]
    runs = await factories.claimed(engine, len(texts) + 1)
    outcomes = [
        factories.outcome(run, Change.FAILED, error_message=text) for run, text in zip(runs, texts, strict=False)
    ]
    done = factories.outcome(runs[-1], result=json.dumps({"text": texts[3]}))
    await task_outcomes.record(engine, [*outcomes, done], worker_id="worker")
    rows = [await task_read.get(engine, run.task_id) for run in runs]
    assert [row.error_message for row in rows] == [*texts, None]
    assert rows[-1].result == {"text": texts[3]}


async def test_recording_an_outcome_is_idempotent(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    (run,) = await factories.claimed(engine)
    outcome = factories.outcome(run)
    assert len(await task_outcomes.record(engine, [outcome], worker_id="worker")) == 1
    assert await task_outcomes.record(engine, [outcome], worker_id="worker") == task_outcomes.Recorded([], [])
    assert await factories.history(engine, run.task_id) == ["created", "started", "completed"]


async def _claim_otherwise(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE leases SET started_at = started_at + interval '1 s'"))


async def test_an_outcome_brings_a_start_along_that_a_failover_lost(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await factories.create(engine)
    (run,) = await factories.claim(engine)
    outcome = factories.outcome(run, is_start_logged=True)
    assert len(await task_outcomes.record(engine, [outcome], worker_id="worker")) == 1
    assert await factories.history(engine, run.task_id) == ["created", "started", "completed"]


async def test_a_start_of_a_claim_that_a_failover_lost_is_not_logged(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await factories.create(engine)
    (run,) = await factories.claim(engine)
    await _claim_otherwise(engine)
    await task_outcomes.log_starts(engine, [run], worker_id="worker")
    assert await factories.history(engine, run.task_id) == ["created"]


@pytest.mark.parametrize("fence", ["another version", "another claim", "cancelled", "lost"])
async def test_an_outcome_of_a_task_that_is_no_longer_held_is_dropped(
    engine: sqlalchemy_asyncio.AsyncEngine, fence: str
) -> None:
    await factories.create(engine)
    lease = datetime.timedelta(0) if fence == "lost" else factories.LEASE
    (run,) = await factories.claim(engine, lease=lease)
    outcome = factories.outcome(run)
    match fence:
        case "another version":
            outcome = dataclasses.replace(outcome, version=run.version + 1)
        case "another claim":  # as after a failover that lost this one: its lease_id and version are given again
            await _claim_otherwise(engine)
        case "cancelled":
            await task_edit.cancel(engine, run.task_id, actor="api")
        case "lost":
            await rescue.reclaim(engine, worker_id="sweeper")
    before = await task_read.get(engine, run.task_id)
    assert await task_outcomes.record(engine, [outcome], worker_id="worker") == task_outcomes.Recorded([], [])
    assert await task_read.get(engine, run.task_id) == before


async def test_of_two_claims_with_one_lease_id_only_the_present_one_has_an_outcome(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    """After a failover that lost a claim, its lease_id is given again, and both outcomes may be in one batch."""
    lost_id, held_id = await factories.create(engine), await factories.create(engine)
    lost, held = await factories.claim(engine)
    assert (lost.task_id, held.task_id) == (lost_id, held_id)
    before = task_outcomes.started_at(held) - factories.SECOND
    outcomes = [factories.outcome(lost), factories.outcome(held)]
    outcomes[0].started_at = before
    for batch in (outcomes, outcomes[::-1]):
        recorded = await task_outcomes.record(engine, batch, worker_id="worker")
        assert lost_id not in recorded.task_ids
    assert await factories.history(engine, lost_id) == ["created"]
    assert await factories.history(engine, held_id) == ["created", "started", "completed"]


async def test_a_task_that_was_claimed_again_is_not_held_by_the_claim_that_a_failover_lost(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await factories.create(engine)
    (lost,) = await factories.claim(engine)
    held = factories.outcome(lost)
    assert await task_outcomes.held(engine, [held], worker_id="worker") == {lost.task_id}
    await _claim_otherwise(engine)
    assert await task_outcomes.held(engine, [held], worker_id="worker") == set()


async def test_starts_are_logged_in_one_order_so_that_they_never_wait_for_each_other_in_a_circle(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    orders = []
    for ends in (False, True):
        (first,) = await factories.claimed(engine)
        retry = factories.outcome(first, Change.RETRY_SCHEDULED, backoff=datetime.timedelta(0))
        await task_outcomes.record(engine, [retry], worker_id="worker")
        (again,), (later,) = await factories.claim(engine), await factories.claimed(engine)
        assert again.version > later.version
        if ends:
            ended = [factories.outcome(run) for run in (again, later)]
            await task_outcomes.record(engine, ended, worker_id="worker")
        else:
            await task_outcomes.log_starts(engine, [again, later], worker_id="worker")
        logged = sa.text(
            "SELECT task_id FROM task_logs WHERE change = 'started' AND task_id = ANY(:ids) ORDER BY log_id"
        )
        async with engine.connect() as connection:
            found = (await connection.execute(logged, {"ids": [again.task_id, later.task_id]})).scalars()
            orders.append([task_id == later.task_id for task_id in found])
        await factories.claim(engine)
    assert orders == [[False, True, False]] * 2  # the first is from before the retry


@pytest.mark.parametrize("stale_first", [True, False])
async def test_only_the_outcome_of_the_present_run_of_a_task_is_recorded(
    engine: sqlalchemy_asyncio.AsyncEngine, stale_first: bool
) -> None:
    # A worker that was paused lost its lease, and claimed the task again before it recorded the first run.
    await factories.create(engine)
    (stale,) = await factories.claim(engine, lease=datetime.timedelta(0))
    await rescue.reclaim(engine, worker_id="sweeper")
    (present,) = await factories.claim(engine)
    outcomes = [factories.outcome(stale, Change.FAILED), factories.outcome(present)]
    finished = await task_outcomes.record(engine, outcomes if stale_first else outcomes[::-1], worker_id="worker")
    assert finished.ended == [present.task_id]
    assert (await factories.history(engine, present.task_id))[-2:] == ["started", "completed"]


async def test_a_dropped_outcome_does_not_affect_the_others(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    runs = await factories.claimed(engine, 3)
    await task_edit.cancel(engine, runs[1].task_id, actor="api")
    finished = await task_outcomes.record(engine, [factories.outcome(run) for run in runs], worker_id="worker")
    assert sorted(finished.ended) == [runs[0].task_id, runs[2].task_id]


async def test_a_release_keeps_the_error_of_an_earlier_run(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    (first,) = await factories.claimed(engine)
    retry = factories.outcome(first, Change.RETRY_SCHEDULED, error_message="first", backoff=datetime.timedelta(0))
    await task_outcomes.record(engine, [retry], worker_id="worker")
    (second,) = await factories.claim(engine)
    await task_outcomes.record(engine, [factories.outcome(second, Change.RELEASED)], worker_id="worker")
    found = await task_read.get(engine, first.task_id)
    assert (found.error_message, found.retry_count) == ("first", 1)


async def test_outcomes_pass_over_a_locked_task_and_it_counts_as_held(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    locked, cancelled, free = await factories.claimed(engine, 3)
    await task_edit.cancel(engine, cancelled.task_id, actor="api")
    async with rows.locked(engine, locked.task_id), asyncio.timeout(5):
        # The lease of all three is nobody's but the worker's.
        assert await test_leases.extend(engine, locked) == ({locked.lease_id: [locked.task_id, free.task_id]}, set())
        outcomes = [factories.outcome(run) for run in (locked, cancelled, free)]
        recorded = await task_outcomes.record(engine, outcomes, worker_id="worker")
        assert recorded.ended == [free.task_id]
        assert await task_outcomes.held(engine, outcomes, worker_id="worker") == {locked.task_id}
    recorded = await task_outcomes.record(engine, [factories.outcome(locked)], worker_id="worker")
    assert recorded.ended == [locked.task_id]


async def test_a_lease_goes_with_its_last_outcome_and_never_before(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    runs = await factories.claimed(engine, 3)
    leases = {run.lease_id for run in runs if run.lease_id is not None}
    left = []
    for run in runs:  # whatever the worker believes
        await task_outcomes.record(engine, [factories.outcome(run)], worker_id="worker", lease_ids=leases)
        async with engine.connect() as connection:
            left.append(await connection.scalar(sa.text("SELECT count(*) FROM leases")))
    assert left == [1, 1, 0]


async def test_overlapping_outcomes_and_extensions_do_not_deadlock(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    runs = await factories.claimed(engine, 100)
    all_ids = {run.task_id for run in runs}

    async def shuffled(action: str) -> None:
        order = random.sample(runs, len(runs))
        if action == "extend":
            await test_leases.extend(engine, *order)
        else:
            rest = all_ids
            while rest:  # a finish passes over what an extension has locked, and the other way round
                outcomes = [factories.outcome(run) for run in order if run.task_id in rest]
                await task_outcomes.record(engine, outcomes, worker_id="worker")
                rest = await task_outcomes.held(engine, outcomes, worker_id="worker")

    await asyncio.gather(*(shuffled("extend") for _ in range(8)), shuffled("finish"), shuffled("finish"))
    for run in runs:
        assert await factories.history(engine, run.task_id) == ["created", "started", "completed"]
