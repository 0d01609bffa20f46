"""Tasks are created in one commit, in order, and once per request_id."""

import asyncio
import dataclasses
import datetime
import random
from typing import Any

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database, schema
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import creation
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests.support import factories, logs, rows

Engine = sqlalchemy_asyncio.AsyncEngine


async def ids(engine: Engine, *news: task.NewTask) -> list[int | None]:
    answers = await task_create.create(engine, news, actor="api")
    return [answer.task_id if isinstance(answer, task_create.Created) else None for answer in answers]


async def last_id(engine: Engine) -> int:
    """Returns the id that was drawn last."""
    async with engine.connect() as connection:
        drawn: int = (await connection.execute(sa.text("SELECT last_value FROM tasks_task_id_seq"))).scalar_one()
        return drawn


async def test_the_first_task_has_id_1_and_the_others_follow_in_order(engine: Engine) -> None:
    assert await ids(engine, *(factories.new_task(name=f"task {number}") for number in range(5))) == [1, 2, 3, 4, 5]
    assert [(await task_read.get(engine, number)).name for number in (1, 5)] == ["task 0", "task 4"]


async def test_a_task_is_stored_as_requested(engine: Engine) -> None:
    new = task.NewTask(
        name="näme ✓",
        execution_time=datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, datetime.UTC),
        task_data={"text": "\\ \" ' % : \u2028", "numbers": [1, 2.5, -0.1, 2**53 - 1], "deep": {"er": [None, True]}},
        queue="queue.1_a-b",
        max_retries=0,
        retry_policy=task.RetryPolicy(datetime.timedelta(microseconds=1), datetime.timedelta(days=30), 1.5, 0.25),
        timeout=datetime.timedelta(milliseconds=1500),
        request_id="an id",
    )
    (task_id,) = await ids(engine, new)
    assert task_id is not None
    kept = await task_read.get(engine, task_id)
    for field in ("name", "execution_time", "task_data", "queue", "max_retries", "retry_policy", "timeout"):
        assert getattr(kept, field) == getattr(new, field)
    assert (kept.status, kept.version, kept.request_id) == (task.Status.PENDING, 1, "an id")
    assert await factories.history(engine, task_id) == ["created"]


async def test_concurrent_repeats_of_a_request_return_the_same_task(engine: Engine) -> None:
    new = factories.new_task(request_id="r")
    answers = await asyncio.gather(*(ids(engine, new, new) for _ in range(8)))
    assert len({task_id for answer in answers for task_id in answer}) == 1
    assert await rows.count(engine) == 1


async def test_another_request_with_the_request_id_is_refused_and_the_others_are_created(engine: Engine) -> None:
    first, refused, other = await task_create.create(
        engine,
        [
            factories.new_task(request_id="r"),
            factories.new_task(request_id="r", name="other"),
            factories.new_task(),
        ],
        actor="api",
    )
    assert isinstance(first, task_create.Created)
    assert isinstance(refused, errors.RequestIdReused)
    assert refused.metadata == {"request_id": "r", "task_id": str(first.task_id)}
    assert isinstance(other, task_create.Created)
    assert await rows.count(engine) == 2


async def test_a_request_is_the_same_after_its_task_was_updated_or_finished(engine: Engine) -> None:
    new = factories.new_task(request_id="r")
    (task_id,) = await ids(engine, new)
    assert task_id is not None
    await task_edit.update(engine, task_id, {"name": "other"}, version=None, actor="api")
    assert await ids(engine, new) == [task_id]
    (claimed,) = await factories.claim(engine)
    await task_outcomes.record(engine, [factories.outcome(claimed, task.Change.FAILED)], worker_id="worker")
    assert await ids(engine, new) == [task_id]


LOCAL = {"local_time": datetime.datetime(2030, 7, 1, 9), "time_zone": "Europe/Berlin"}  # noqa: DTZ001
INSTANT = datetime.datetime(2030, 7, 1, 7, tzinfo=datetime.UTC)
OTHER_INSTANT = INSTANT + datetime.timedelta(hours=1)


async def test_a_request_in_local_time_is_the_same_under_another_time_zone_database(engine: Engine) -> None:
    new = factories.new_task(request_id="r", execution_time=INSTANT, **LOCAL)
    (task_id,) = await ids(engine, new)
    repeated = dataclasses.replace(new, execution_time=OTHER_INSTANT)
    assert await ids(engine, repeated) == [task_id]
    (created,) = await task_create.create_all(engine, [repeated], actor="api")
    assert (created.task_id, created.is_new) == (task_id, False)
    assert await rows.count(engine) == 1


async def test_another_local_time_is_another_request_although_its_instant_is_the_same(engine: Engine) -> None:
    new = factories.new_task(request_id="r", execution_time=INSTANT, **LOCAL)
    await ids(engine, new)
    assert await ids(engine, dataclasses.replace(new, time_zone="Europe/Paris")) == [None]
    assert await ids(engine, dataclasses.replace(new, local_time=None, time_zone=None)) == [None]


async def test_a_request_in_local_time_is_the_same_after_an_upgrade_from_the_first_release(engine: Engine) -> None:
    new = factories.new_task(request_id="r", execution_time=INSTANT, **LOCAL)
    (task_id,) = await ids(engine, new)
    # The first release stored the digest with the instant.
    await rows.change_digest(engine, task_create._encode(new)["earlier_digest"])
    assert await ids(engine, new) == [task_id]
    (created,) = await task_create.create_all(engine, [new], actor="api")
    assert (created.task_id, created.is_new) == (task_id, False)


@pytest.mark.parametrize(
    ("edit", "error"),
    [(task_edit.cancel, errors.RequestIdOfCancelledTask), (task_edit.delete, errors.RequestIdOfDeletedTask)],
    ids=["cancelled", "deleted"],
)
async def test_a_request_whose_task_was_cancelled_or_deleted_is_refused_with_the_reason(
    engine: Engine, edit: Any, error: type[errors.RequestIdTaken]
) -> None:
    new = factories.new_task(request_id="r")
    (task_id,) = await ids(engine, new)
    await edit(engine, task_id, actor="api")
    refused, other = await task_create.create(engine, [new, factories.new_task()], actor="api")
    assert type(refused) is error
    assert refused.metadata == {"request_id": "r", "task_id": str(task_id)}
    assert isinstance(other, task_create.Created)
    with pytest.raises(error, match="another request_id"):
        await task_create.create_all(engine, [factories.new_task(), new], actor="api")
    assert await rows.count(engine) == 2
    assert await last_id(engine) == 2


async def test_a_cancelled_task_that_is_retried_is_the_result_of_its_request_again(engine: Engine) -> None:
    new = factories.new_task(request_id="r")
    (task_id,) = await ids(engine, new)
    assert task_id is not None
    await task_edit.cancel(engine, task_id, actor="api")
    await task_edit.retry(engine, task_id, actor="api")
    assert await ids(engine, new) == [task_id]


async def test_batches_with_the_same_requests_in_another_order_do_not_block_each_other(engine: Engine) -> None:
    news = [factories.new_task(request_id=f"r{number}") for number in range(300)]
    answers = await asyncio.gather(*(ids(engine, *random.sample(news, len(news))) for _ in range(8)))
    assert len({frozenset(answer) for answer in answers}) == 1
    assert await rows.count(engine) == 300


async def test_an_all_or_none_batch_creates_none_if_one_request_id_was_used(engine: Engine) -> None:
    await ids(engine, factories.new_task(request_id="r"))
    news = [factories.new_task(), factories.new_task(request_id="r", name="other")]
    with pytest.raises(errors.RequestIdReused):
        await task_create.create_all(engine, news, actor="api")
    assert await rows.count(engine) == 1


async def test_a_refused_batch_draws_no_ids(engine: Engine) -> None:
    await ids(engine, factories.new_task(request_id="r"))
    reused = factories.new_task(request_id="r", name="other")
    for number in range(60):
        news = [factories.new_task(request_id=f"{number} {n}" if n % 2 else None) for n in range(999)]
        with pytest.raises(errors.RequestIdReused):
            await task_create.create_all(engine, [*news, reused], actor="api")
    twice = [factories.new_task(request_id="s"), factories.new_task(request_id="s", name="other")]
    with pytest.raises(errors.RequestIdReused, match="twice in the batch"):
        await task_create.create_all(engine, [factories.new_task(), *twice], actor="api")
    assert await ids(engine, factories.new_task()) == [2]


async def test_a_race_for_a_request_id_costs_one_id_and_nothing_else(engine: Engine) -> None:
    raced, others = factories.new_task(request_id="r"), [factories.new_task(request_id=f"r{n}") for n in range(9)]
    async with database.transaction(engine) as connection:
        (first,) = await task_create._create(connection, [task_create._encode(raced)], "api")
        racing = asyncio.create_task(ids(engine, raced, *others))
        await logs.waits_for_a_row(engine)
    assert isinstance(first, task_create.Created)
    assert (await racing)[0] == first.task_id
    assert await rows.count(engine) == 10
    assert await last_id(engine) == 11


async def test_repeated_requests_draw_no_ids(engine: Engine) -> None:
    news = [factories.new_task(request_id=f"r{number}") for number in range(100)]
    created = await ids(engine, *news, *news)
    assert created == [*range(1, 101)] * 2
    for _ in range(3):
        assert await ids(engine, *reversed(news)) == created[99::-1]
        again = await task_create.create_all(engine, news, actor="api")
        assert [each.task_id for each in again] == created[:100]
    refused = [factories.new_task(request_id=f"r{number}", name="other") for number in range(100)]
    assert await ids(engine, *refused, factories.new_task()) == [None] * 100 + [101]


async def test_a_batch_with_some_repeated_requests_creates_the_others(engine: Engine) -> None:
    news = [factories.new_task(request_id=f"r{number}" if number % 3 else None) for number in range(30)]
    first = await ids(engine, *(new for new in news if new.request_id is not None))
    created = await task_create.create_all(engine, news, actor="api")
    assert [each.task_id for each in created if not each.is_new] == first
    assert [each.task_id for each in created if each.is_new] == list(range(21, 31))
    names = {each.task_id: (await task_read.get(engine, each.task_id)).request_id for each in created}
    assert [names[each.task_id] for each in created] == [new.request_id for new in news]


async def test_a_batch_whose_caller_hangs_up_completes_and_loses_no_ids(engine: Engine) -> None:
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text(rows.lock_all("SHARE")))
        calls = [
            asyncio.create_task(task_create.create_all(engine, [factories.new_task()] * 100, actor="api"))
            for _ in range(5)
        ]
        await logs.waits_for_a_lock(engine, waiters=len(calls))
        for call in calls:
            call.cancel()
        await asyncio.sleep(0)
    for call in calls:
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await rows.count(engine) == await last_id(engine) == 500


async def test_a_batch_that_takes_too_long_creates_nothing_and_the_same_one_can_be_repeated(
    engine: Engine, database_url: str
) -> None:
    batch = [factories.new_task(request_id=f"request {number}") for number in range(100)]
    impatient = database.connect(database_url, pool_size=1, answer_seconds=2)
    # Another transaction is about to take the last request_id.
    async with database.transaction(engine) as connection:
        await task_create._answer(connection, [task_create._encode(batch[-1])], "api", {})
        with pytest.raises(errors.StoreUnavailable, match=r"took too long and was cancelled. Nothing was changed"):
            await task_create.create_all(impatient, batch, actor="api")
    assert await rows.count(engine) == 1
    assert len({created.task_id for created in await task_create.create_all(impatient, batch, actor="api")}) == 100
    await impatient.dispose()


@pytest.mark.parametrize(
    ("failure", "kind", "sentence"),
    [
        (
            "pg_cancel_backend(pg_backend_pid()), pg_sleep(9)",
            errors.StoreUnavailable,
            "The statement took too lo",
        ),
        ("pg_terminate_backend(pg_backend_pid()), pg_sleep(9)", errors.StoreUnavailable, "outcome is unknown"),
        ("1 / 0", sqlalchemy.exc.DBAPIError, "division by zero"),
    ],
    ids=["cancelled", "connection lost", "mistake"],
)
async def test_committed_tasks_are_returned_although_finding_the_others_fails(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, failure: str, kind: type[Exception], sentence: str
) -> None:
    await ids(engine, factories.new_task(request_id="r"))
    monkeypatch.setattr(
        creation, "FIND_REQUESTS", sa.text(f"SELECT {failure} WHERE CAST(:request_ids AS text[]) IS NOT NULL")
    )
    repeated = factories.new_task(request_id="r")
    one, failed, other = await task_create.create(
        engine, [factories.new_task(), repeated, factories.new_task()], actor="api"
    )
    assert isinstance(one, task_create.Created)
    assert isinstance(other, task_create.Created)
    assert isinstance(failed, kind)
    assert sentence in str(failed)
    assert await rows.count(engine) == 3
    with pytest.raises(kind, match=sentence):  # nothing was created, so there is no result
        await ids(engine, repeated)
    with pytest.raises(kind, match=sentence):
        await task_create.create_all(engine, [factories.new_task(), repeated], actor="api")
    assert await rows.count(engine) == 3


async def test_creating_a_task_after_the_last_id_fails(engine: Engine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text(f"ALTER SEQUENCE tasks_task_id_seq RESTART WITH {schema.MAX_TASK_ID}"))
    assert await ids(engine, factories.new_task()) == [schema.MAX_TASK_ID]
    with pytest.raises(errors.TaskIdsExhausted):
        await ids(engine, factories.new_task())
