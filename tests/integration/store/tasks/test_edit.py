"""Edits: from each status, legal changes are made; all others are refused and change nothing."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from tests.support import factories

Engine = sqlalchemy_asyncio.AsyncEngine


async def update(engine: Engine, task_id: int) -> object:
    return await task_edit.update(engine, task_id, {"name": "renamed"}, version=None, actor="api")


async def cancel(engine: Engine, task_id: int) -> object:
    return await task_edit.cancel(engine, task_id, actor="api")


async def retry(engine: Engine, task_id: int) -> object:
    return await task_edit.retry(engine, task_id, actor="api")


async def delete(engine: Engine, task_id: int) -> None:
    await task_edit.delete(engine, task_id, actor="api")


EDITS: dict[task.Change, tuple[Callable[[Engine, int], Awaitable[object]], type[errors.StateConflict]]] = {
    task.Change.UPDATED: (update, errors.TaskNotPending),
    task.Change.CANCELLED: (cancel, errors.TaskFinished),
    task.Change.RETRIED: (retry, errors.TaskNotRetryable),
    task.Change.DELETED: (delete, errors.TaskRunning),
}


@pytest.mark.parametrize("status", task.Status)
@pytest.mark.parametrize("change", EDITS)
async def test_an_edit_makes_legal_changes_and_refuses_others(
    engine: Engine, change: task.Change, status: task.Status
) -> None:
    edit, conflict = EDITS[change]
    task_id = await factories.brought_to(engine, status)
    before, history = await task_read.get(engine, task_id), await factories.history(engine, task_id)
    move = task.MOVES[change]
    if status in move.sources:
        await edit(engine, task_id)
        assert await factories.history(engine, task_id) == [*history, change]
        last = (await task_read.list_logs(engine, task_id, after_version=before.version, limit=1))[0]
        assert last.status == (move.target or (status if status in task.FINISHED else task.Status.CANCELLED))
    elif (change, status) == (task.Change.CANCELLED, task.Status.CANCELLED):
        await edit(engine, task_id)  # a caller who lost the response retries
        assert await task_read.get(engine, task_id) == before
    else:
        with pytest.raises(conflict) as refused:
            await edit(engine, task_id)
        assert refused.value.metadata == {"status": status}
        assert await task_read.get(engine, task_id) == before
        assert await factories.history(engine, task_id) == history


@pytest.mark.parametrize("change", EDITS)
async def test_a_missing_or_deleted_task_is_not_found(engine: Engine, change: task.Change) -> None:
    edit, _ = EDITS[change]
    deleted = await factories.create(engine)
    await delete(engine, deleted)
    for task_id in (deleted, 12345):
        with pytest.raises(errors.TaskNotFound):
            await edit(engine, task_id)


async def test_an_update_changes_only_the_given_fields(engine: Engine) -> None:
    task_id = await factories.create(engine, task_data={"a": 1}, timeout=factories.SECOND)
    before = await task_read.get(engine, task_id)
    policy = task.RetryPolicy(factories.SECOND, 2 * factories.SECOND, 3.0, 0.5)
    changes = {"task_data": {"b": [None]}, "retry_policy": policy, "timeout": None, "queue": "other"}
    after, _ = await task_edit.update(engine, task_id, changes, version=1, actor="api")
    assert (after.task_data, after.retry_policy, after.timeout, after.queue) == ({"b": [None]}, policy, None, "other")
    assert (after.name, after.execution_time, after.max_retries) == (
        before.name,
        before.execution_time,
        before.max_retries,
    )
    assert after == await task_read.get(engine, task_id)


async def test_an_update_into_the_past_means_now(engine: Engine) -> None:
    task_id = await factories.create(engine, execution_time=datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC))
    past = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    after, now = await task_edit.update(engine, task_id, {"execution_time": past}, version=None, actor="api")
    assert after.execution_time == now


async def test_one_of_several_updates_of_the_same_version_succeeds(engine: Engine) -> None:
    task_id = await factories.create(engine)
    answers = await asyncio.gather(
        *(task_edit.update(engine, task_id, {"name": f"name {number}"}, version=1, actor="api") for number in range(8)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, errors.VersionMismatch)]
    assert len(refused) == 7
    assert {error.metadata["version"] for error in refused} == {"2"}
    assert await factories.history(engine, task_id) == ["created", "updated"]


async def test_a_stale_version_of_a_running_task_fails_with_its_status(engine: Engine) -> None:
    task_id = await factories.brought_to(engine, task.Status.RUNNING)
    with pytest.raises(errors.TaskNotPending) as refused:
        await task_edit.update(engine, task_id, {"name": "renamed"}, version=1, actor="api")
    assert refused.value.metadata == {"status": task.Status.RUNNING}


async def test_a_retried_task_is_due_now_with_all_its_retries(engine: Engine) -> None:
    task_id = await factories.create(engine)
    (run,) = await factories.claim(engine)
    again = factories.outcome(run, task.Change.RETRY_SCHEDULED, backoff=datetime.timedelta(0))
    await task_outcomes.record(engine, [again], worker_id="worker")
    (run,) = await factories.claim(engine)
    failed = factories.outcome(run, task.Change.FAILED, error_message="never")
    await task_outcomes.record(engine, [failed], worker_id="worker")
    before = await task_read.get(engine, task_id)
    assert (before.retry_count, before.error_message) == (1, "never")
    retried, now = await task_edit.retry(engine, task_id, actor="api")
    assert (retried.status, retried.retry_count, retried.error_message) == (task.Status.PENDING, 0, None)
    assert retried.execution_time == now


async def test_a_task_cancelled_while_running_has_no_worker_any_more(engine: Engine) -> None:
    task_id = await factories.brought_to(engine, task.Status.RUNNING)
    cancelled, _ = await task_edit.cancel(engine, task_id, actor="api")
    assert (cancelled.worker_id, cancelled.lease_expires_at) == (None, None)


async def recorded(engine: Engine, run: task.Task) -> bool:
    """Records an outcome, again while the task is locked; returns whether it was."""
    while not await task_outcomes.record(engine, [factories.outcome(run)], worker_id="worker"):
        if not await task_outcomes.held(engine, [factories.outcome(run)], worker_id="worker"):
            return False
    return True


async def test_one_of_concurrent_cancels_and_an_outcome_wins_and_is_logged(engine: Engine) -> None:
    for _ in range(10):
        task_id = await factories.create(engine)
        (run,) = await factories.claim(engine)
        *cancels, finished = await asyncio.gather(
            *(cancel(engine, task_id) for _ in range(4)),
            recorded(engine, run),
            return_exceptions=True,
        )
        last = "completed" if finished else "cancelled"
        assert await factories.history(engine, task_id) == ["created", "started", last]
        assert all(isinstance(each, errors.TaskFinished) == bool(finished) for each in cancels)


async def test_one_of_concurrent_deletes_succeeds_and_the_others_find_no_task(engine: Engine) -> None:
    task_id = await factories.create(engine)
    answers = await asyncio.gather(*(delete(engine, task_id) for _ in range(6)), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [errors.TaskNotFound] * 5
    assert await factories.history(engine, task_id) == ["created", "deleted"]
