"""Many tasks changed at once: each batch is atomic, every task logged once, and nothing blocked."""

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.process import patience
from duetime_core.store.tasks import bulk_edit
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import page as task_page
from duetime_core.store.tasks import read as task_read
from tests.support import factories, rows

Status = task.Status
Change = task.Change
HOUR = datetime.timedelta(hours=1)
PENDING = task_page.Filter(statuses=(Status.PENDING, Status.RUNNING))


async def change(
    engine: sqlalchemy_asyncio.AsyncEngine,
    what: Change,
    wanted: task_page.Filter,
    changes: Mapping[str, Any] | None = None,
    *,
    seconds: float = 5,
) -> bulk_edit.Progress:
    progress = bulk_edit.Progress()
    batches = bulk_edit.change(engine, what, wanted, changes=changes, progress=progress, seconds=seconds, actor="api")
    edited = [each.task_id async for batch in batches for each in batch]
    assert len(edited) == len(set(edited)) == progress.count
    return progress


async def many(engine: sqlalchemy_asyncio.AsyncEngine, count: int, **changes: Any) -> list[int]:
    news = [factories.new_task(**changes) for _ in range(count)]
    return [each.task_id for each in await task_create.create_all(engine, news, actor="api")]


@pytest.mark.parametrize(
    ("what", "before", "after", "word"),
    [
        (Change.CANCELLED, Status.PENDING, Status.CANCELLED, "cancelled"),
        (Change.CANCELLED, Status.RUNNING, Status.CANCELLED, "cancelled"),
        (Change.RETRIED, Status.FAILED, Status.PENDING, "retried"),
        (Change.RETRIED, Status.CANCELLED, Status.PENDING, "retried"),
    ],
)
async def test_a_bulk_change_does_the_same_as_a_single_one(
    engine: sqlalchemy_asyncio.AsyncEngine, what: Change, before: Status, after: Status, word: str
) -> None:
    task_id = await factories.brought_to(engine, before, name="this")
    await factories.brought_to(engine, before, name="other")
    progress = await change(engine, what, task_page.Filter(statuses=(before,), name="this"))
    assert (progress.count, progress.has_more) == (1, False)
    assert (await task_read.get(engine, task_id)).status is after
    assert (await factories.history(engine, task_id))[-1] == word


async def test_deleting_many_tasks_keeps_their_logs(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    done = await factories.brought_to(engine, Status.COMPLETED)
    waiting = await factories.brought_to(engine, Status.PENDING)
    running = await factories.brought_to(engine, Status.RUNNING)
    allowed = tuple(sorted(task.MOVES[Change.DELETED].sources))
    assert (await change(engine, Change.DELETED, task_page.Filter(statuses=allowed))).count == 2
    assert [(await factories.history(engine, each))[-1] for each in (done, waiting)] == ["deleted", "deleted"]
    assert (await task_read.get(engine, running)).status is Status.RUNNING
    assert (await change(engine, Change.DELETED, task_page.Filter(statuses=allowed))).count == 0


async def test_many_tasks_move_to_another_time_and_queue(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    task_ids = await many(engine, 5, queue="here")
    due = datetime.datetime.now(datetime.UTC) + HOUR
    wanted = task_page.Filter(statuses=(Status.PENDING,), queue="here")
    assert (await change(engine, Change.UPDATED, wanted, {"queue": "there", "execution_time": due})).count == 5
    for task_id in task_ids:
        moved = await task_read.get(engine, task_id)
        assert (moved.queue, moved.execution_time) == ("there", due)
        assert await factories.history(engine, task_id) == ["created", "updated"]


async def test_tasks_moved_to_a_later_page_are_moved_once(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await many(engine, 2500)
    due = datetime.datetime.now(datetime.UTC) + HOUR
    wanted = task_page.Filter(statuses=(Status.PENDING,))
    assert (await change(engine, Change.UPDATED, wanted, {"execution_time": due})).count == 2500
    assert await rows.count(engine, "version = 2") == 2500


async def test_after_its_time_limit_the_same_call_continues(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await many(engine, 2500)
    first = await change(engine, Change.CANCELLED, PENDING, seconds=0)
    assert (first.count, first.has_more) == (1000, True)
    rest = await change(engine, Change.CANCELLED, PENDING)
    assert (rest.count, rest.has_more) == (1500, False)


async def test_two_concurrent_bulk_changes_share_the_tasks(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await many(engine, 3000)
    shares = await asyncio.gather(*(change(engine, Change.CANCELLED, PENDING) for _ in range(3)))
    assert sum(share.count for share in shares) == 3000
    async with engine.connect() as connection:
        logged = await connection.scalar(sa.text("SELECT count(*) FROM task_logs WHERE change = 'cancelled'"))
    assert logged == 3000


async def test_a_locked_task_is_left_and_reported(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    held, free = await many(engine, 2)
    async with rows.locked(engine, held), asyncio.timeout(5):
        progress = await change(engine, Change.CANCELLED, PENDING)
    assert (progress.count, progress.has_more) == (1, True)
    assert (await task_read.get(engine, free)).status is Status.CANCELLED
    assert (await change(engine, Change.CANCELLED, PENDING)).count == 1


@contextlib.asynccontextmanager
async def after_the_first_batch(
    engine: sqlalchemy_asyncio.AsyncEngine, what: Change, wanted: task_page.Filter
) -> AsyncIterator[bulk_edit.Progress]:
    """Runs the block between the first batch of a change and the rest."""
    progress = bulk_edit.Progress()
    batches = bulk_edit.change(engine, what, wanted, progress=progress, seconds=30, actor="api")
    await anext(batches)
    yield progress
    async for _ in batches:
        pass


async def test_tasks_that_a_worker_claims_during_the_call_are_cancelled_too(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await many(engine, 2500)
    async with after_the_first_batch(engine, Change.CANCELLED, PENDING) as progress:
        claimed = await factories.claim(engine, limit=100)
        assert len(claimed) == 100
    assert (progress.count, progress.has_more) == (2500, False)


async def test_a_task_that_is_moved_to_an_earlier_time_during_the_call_is_changed_too(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await many(engine, 2000)
    (late,) = await many(engine, 1, execution_time=datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC))
    async with after_the_first_batch(engine, Change.CANCELLED, PENDING) as progress:
        await rows.change(engine, "execution_time = '2020-01-01', updated_at = now()", late)
    assert (progress.count, progress.has_more) == (2001, False)


async def test_tasks_that_were_changed_before_the_clock_was_set_back_are_not_passed_over(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await many(engine, 3)
    await rows.change(engine, "updated_at = now() + interval '1 hour'")
    assert (await change(engine, Change.CANCELLED, PENDING)).count == 3


async def test_a_task_that_fails_again_during_the_call_is_retried_once(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await many(engine, 1500)
    await rows.end(engine, Status.FAILED, those=Status.PENDING)
    failed = task_page.Filter(statuses=(Status.FAILED,))
    async with after_the_first_batch(engine, Change.RETRIED, failed) as progress:
        await rows.end(engine, Status.FAILED, those=Status.PENDING)
    assert (progress.count, progress.has_more) == (1500, False)


async def test_tasks_that_are_created_during_the_call_are_left_alone(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await many(engine, 1500)
    async with after_the_first_batch(engine, Change.CANCELLED, PENDING) as progress:
        (new,) = await many(engine, 1)
    assert (progress.count, progress.has_more) == (1500, False)
    assert (await task_read.get(engine, new)).status is Status.PENDING


@pytest.mark.parametrize("due", ["2020-01-01T00:00Z", "2040-01-01T00:00Z"], ids=["past", "future"])
async def test_a_repeated_move_leaves_tasks_where_it_put_them(engine: sqlalchemy_asyncio.AsyncEngine, due: str) -> None:
    (held, *_) = await many(engine, 3)
    changes = {"queue": "there", "execution_time": datetime.datetime.fromisoformat(due)}
    wanted = task_page.Filter(statuses=(Status.PENDING,))
    async with rows.locked(engine, held):
        counts = [(await change(engine, Change.UPDATED, wanted, changes)).count for _ in range(2)]
    assert counts == [2, 0]
    progress = await change(engine, Change.UPDATED, wanted, changes)
    assert (progress.count, progress.has_more) == (1, False)


@contextlib.asynccontextmanager
async def slow(engine: sqlalchemy_asyncio.AsyncEngine, seconds: float) -> AsyncIterator[None]:
    """Makes each change of a task take so long."""
    async with engine.connect() as connection:
        await connection.execute(
            sa.text(f"""
                CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                'BEGIN PERFORM pg_sleep({seconds}); RETURN coalesce(NEW, OLD); END'
            """)
        )
        await connection.execute(
            sa.text("CREATE TRIGGER slow BEFORE UPDATE OR DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION slow()")
        )
        yield
        await connection.execute(sa.text("DROP TRIGGER slow ON tasks"))


async def test_with_a_slow_database_batches_get_smaller_and_the_call_ends_in_time(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await many(engine, 1500)
    async with slow(engine, 0.01):  # a batch of 1,000 takes 10 s, longer than any statement may
        async with asyncio.timeout(9):  # the deadline of a call
            first = await change(engine, Change.CANCELLED, PENDING)
        assert first.has_more
        assert 0 < first.count < 1000
    rest = await change(engine, Change.CANCELLED, PENDING)
    assert (first.count + rest.count, rest.has_more) == (1500, False)


async def test_a_call_during_which_nothing_can_be_changed_in_time_fails(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await many(engine, 3)
    async with slow(engine, 1):
        with pytest.raises(errors.StoreUnavailable, match="took too long and was cancelled"):
            await change(engine, Change.CANCELLED, PENDING, seconds=0)
    assert (await change(engine, Change.CANCELLED, PENDING)).count == 3


async def test_a_task_that_is_locked_for_a_moment_is_changed_by_the_same_call(
    engine: sqlalchemy_asyncio.AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (held,) = await many(engine, 1)
    passed_over, waiting = asyncio.Event(), patience.Patience.wait

    async def note(self: patience.Patience, *, has_progress: bool) -> bool:
        passed_over.set()
        return await waiting(self, has_progress=has_progress)

    monkeypatch.setattr(patience.Patience, "wait", note)
    async with rows.locked(engine, held):
        changing = asyncio.create_task(change(engine, Change.CANCELLED, PENDING))
        await passed_over.wait()
    assert await changing == bulk_edit.Progress(1, has_more=False)


async def test_calls_that_are_repeated_because_of_a_locked_task_do_not_spin(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    (held,) = await many(engine, 1)
    async with rows.locked(engine, held):
        began = time.monotonic()
        for _ in range(2):
            assert await change(engine, Change.CANCELLED, PENDING) == bulk_edit.Progress(0, has_more=True)
        assert time.monotonic() - began >= 2 * patience.SECONDS
