"""Queues are listed, limited and logged."""

import asyncio
import datetime
from typing import Any

import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, queue, task, worker
from duetime_core.postgres import clock, database
from duetime_core.store.queues import limit as queue_limit
from duetime_core.store.queues import read as queue_read
from duetime_core.store.queues import workers
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import read as task_read
from tests.support import backlogs, factories, logs, rows

OLDEST = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


async def listed(engine: sqlalchemy_asyncio.AsyncEngine) -> dict[str, queue.Queue]:
    return {each.name: each for each in await queue_read.list_queues(engine, after="", limit=1000)}


async def test_a_queue_has_its_due_tasks_the_oldest_due_time_and_its_running_tasks(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    await factories.create(engine, queue="mail")
    await factories.claim(engine, queue="mail")
    waiting = [await factories.create(engine, queue="mail", priority=priority) for priority in (0, 7)]
    await factories.create(engine, queue="mail", execution_time=now + datetime.timedelta(hours=1))
    await factories.create(engine, queue="later", execution_time=now + datetime.timedelta(hours=1))
    oldest = min([(await task_read.get(engine, task_id)).execution_time for task_id in waiting])
    found = await listed(engine)
    assert found == {
        "later": queue.Queue("later", queue.UNLIMITED),
        "mail": queue.Queue("mail", queue.UNLIMITED, depth=2, oldest_due=oldest, running=1),
    }


async def test_a_queue_counts_its_due_quarantined_tasks_and_occurrences(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await backlogs.insert(engine, 1, lost_leases="2")
    await backlogs.insert(engine, 1, is_next="true")
    assert (await queue_read.get(engine, task.DEFAULT_QUEUE)).depth == 2


async def test_the_due_tasks_of_a_queue_are_counted_up_to_a_bound_and_the_oldest_is_found(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    due = "CAST('2026-01-01T00:00:00Z' AS timestamptz) + (n - 1) * interval '1 ms'"
    await backlogs.insert(engine, queue.MAX_DEPTH, queue="'mail'", execution_time=due)
    assert await queue_read.get(engine, "mail") == queue.Queue("mail", queue.UNLIMITED, queue.MAX_DEPTH, False, OLDEST)
    (oldest,) = await task_create.create_all(engine, [factories.new_task(queue="mail", priority=3)], actor="api")
    hour = datetime.timedelta(hours=1)
    await rows.change(engine, "execution_time = :oldest", oldest.task_id, oldest=OLDEST - hour)
    found = await queue_read.get(engine, "mail")
    assert (found.depth, found.is_deeper) == (queue.MAX_DEPTH, True)
    assert found.oldest_due == OLDEST - hour


async def test_a_queue_with_finished_tasks_alone_is_not_listed(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await factories.brought_to(engine, task.Status.COMPLETED)
    assert await listed(engine) == {}


async def test_a_change_keeps_the_other_limits(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await queue_limit.update(engine, "mail", {"max_running": 5}, is_new=True, actor="api")
    await queue_limit.update(engine, "mail", {"max_per_second": 2.5}, is_new=False, actor="api")
    updated, _ = await queue_limit.update(engine, "mail", {"max_running": None}, is_new=False, actor="api")
    assert updated.limits == queue.QueueLimits(max_per_second=2.5)
    assert (await queue_read.get(engine, "mail")).limits == updated.limits


async def test_a_queue_that_becomes_unlimited_leaves_no_row(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await queue_limit.update(engine, "mail", {"is_paused": True}, is_new=True, actor="api")
    updated, _ = await queue_limit.update(engine, "mail", {"is_paused": False}, is_new=False, actor="api")
    assert updated == queue.Queue("mail", queue.UNLIMITED)
    assert await listed(engine) == {}
    again, _ = await queue_limit.update(engine, "mail", {"is_paused": False}, is_new=False, actor="api")
    assert again == updated
    assert await listed(engine) == {}


@pytest.mark.parametrize("changes", [{"is_paused": True}, {"max_running": 3}], ids=str)
async def test_an_unknown_queue_is_not_limited_by_mistake(
    engine: sqlalchemy_asyncio.AsyncEngine, changes: dict[str, Any]
) -> None:
    with pytest.raises(errors.QueueNotFound, match="mial"):
        await queue_limit.update(engine, "mial", changes, is_new=False, actor="api")
    with pytest.raises(errors.QueueNotFound):
        await queue_read.get(engine, "mial")
    assert await listed(engine) == {}


async def test_queues_are_listed_a_page_at_a_time(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    # Queues known for each reason, and for several at once.
    for number in range(0, 12, 3):
        await factories.create(engine, queue=f"q{number:02}")
        await factories.create(engine, queue=f"q{number:02}", priority=1)
        await queue_limit.update(engine, f"q{number + 1:02}", {"is_paused": True}, is_new=True, actor="api")
        await workers.heartbeat(engine, worker.Heartbeat(f"w{number}", [f"q{number + 2:02}", "q00"], [], 1, 0, {}))
    await factories.create(engine, queue="q99")
    await factories.claim(engine, queue="q99")
    expected = [*(f"q{number:02}" for number in range(12)), "q99"]
    for size in (1, 2, 5, 13, 100):
        found: list[str] = []
        while page := await queue_read.list_queues(engine, after=found[-1] if found else "", limit=size):
            assert len(page) == size or len(found) + len(page) == len(expected)
            found += [each.name for each in page]
        assert found == expected
    assert await queue_read.names(engine, limit=3) == expected[:3]
    for name in expected:
        (listed_one,) = [
            each for each in await queue_read.list_queues(engine, after="", limit=100) if each.name == name
        ]
        assert await queue_read.get(engine, name) == listed_one


async def history(engine: sqlalchemy_asyncio.AsyncEngine, name: str) -> list[tuple[str, dict[str, tuple[Any, Any]]]]:
    logs = await queue_limit.list_logs(engine, name, after=0, limit=100)
    assert all(log.queue == name and log.actor == "caller" for log in logs)
    assert [log.timestamp for log in logs] == sorted(log.timestamp for log in logs)
    return [(log.change, {each.field: (each.before, each.after) for each in log.changes}) for log in logs]


async def test_each_change_leaves_a_log_row_with_the_values_before_and_after(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    for changes in (
        {"is_paused": True},
        {"is_paused": True},  # nothing changes
        {"max_running": 5, "max_per_second": 2.5},
        {"max_running": 5},  # nothing changes
        {"max_running": None, "is_paused": False},
        {"is_paused": False},  # nothing changes
        {"max_per_second": None},
        {"is_paused": True},
        {"is_paused": False},
    ):
        await queue_limit.update(engine, "mail", changes, is_new=True, actor="caller")
    assert await history(engine, "mail") == [
        ("paused", {"is_paused": (False, True)}),
        ("updated", {"max_running": (None, 5), "max_per_second": (None, 2.5)}),
        ("updated", {"is_paused": (True, False), "max_running": (5, None)}),
        ("updated", {"max_per_second": (2.5, None)}),
        ("paused", {"is_paused": (False, True)}),
        ("resumed", {"is_paused": (True, False)}),
    ]


async def test_the_log_of_an_unchanged_queue_is_empty_and_that_of_an_unknown_one_is_not_found(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await factories.create(engine, queue="mail")
    assert await history(engine, "mail") == []
    with pytest.raises(errors.QueueNotFound, match="mial"):
        await history(engine, "mial")


async def test_a_failed_change_leaves_no_log_row(
    engine: sqlalchemy_asyncio.AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "NOW", sa.text("SELECT 1 / 0"))
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        await queue_limit.update(engine, "mail", {"is_paused": True}, is_new=True, actor="api")
    await factories.create(engine, queue="mail")
    assert await history(engine, "mail") == []
    assert not (await queue_read.get(engine, "mail")).limits.is_paused


async def test_concurrent_changes_are_made_one_after_another(engine: sqlalchemy_asyncio.AsyncEngine) -> None:
    await queue_limit.update(engine, "mail", {"is_paused": True}, is_new=True, actor="caller")
    async with database.transaction(engine) as connection:
        # Resuming the queue deletes its row while others wait for it.
        await connection.execute(sa.text("DELETE FROM queues"))
        changing = [
            asyncio.create_task(queue_limit.update(engine, "mail", {"max_running": limit}, is_new=True, actor="caller"))
            for limit in (1, 2)
        ]
        await logs.waits_for_a_row(engine, waiters=2)
    await asyncio.gather(*changing)
    (_, first), (_, second) = (await history(engine, "mail"))[1:]
    assert first["max_running"][0] is None
    assert second["max_running"] == (
        first["max_running"][1],
        (await queue_read.get(engine, "mail")).limits.max_running,
    )


async def test_a_change_counts_the_backlog_once_and_fails_if_it_cannot(
    engine: sqlalchemy_asyncio.AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counts.extend(["count"] * statement.count("AS depth"))

    sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    await factories.create(engine, queue="mail")
    paused, _ = await queue_limit.update(engine, "mail", {"is_paused": True}, is_new=False, actor="api")
    assert (paused.depth, counts) == (1, ["count"])
    monkeypatch.setattr(queue_read, "_GET", sa.text("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(9), :queue"))
    with pytest.raises(errors.StoreUnavailable, match="Queue 'mail' was changed, but"):
        await queue_limit.update(engine, "mail", {"is_paused": False}, is_new=False, actor="api")
    monkeypatch.undo()
    assert not (await queue_read.get(engine, "mail")).limits.is_paused
