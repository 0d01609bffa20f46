"""Factories of valid test data, with changes on request."""

import datetime
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import recurrence, schedule, task
from duetime_core.store.claiming import fast, locked
from duetime_core.store.schedules import advance as schedule_advance
from duetime_core.store.schedules import candidates
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read

LEASE = datetime.timedelta(seconds=30)
SECOND = datetime.timedelta(seconds=1)
HOUR = datetime.timedelta(hours=1)


def new_task(**changes: Any) -> task.NewTask:
    """Returns a new task that is due now."""
    return task.NewTask(**{"name": "noop", "execution_time": datetime.datetime.now(datetime.UTC), **changes})


def outcome(claimed: task.Task, change: task.Change = task.Change.COMPLETED, **changes: Any) -> task_outcomes.Outcome:
    """Returns the outcome of a claimed task's run."""
    if change is task.Change.RETRY_SCHEDULED:
        changes = {"backoff": SECOND, **changes}
    return task_outcomes.Outcome(
        claimed.task_id,
        claimed.version,
        change,
        started_at=task_outcomes.started_at(claimed),
        lease_id=claimed.lease_id,
        **{"duration": SECOND, **changes},
    )


async def create(engine: sqlalchemy_asyncio.AsyncEngine, **changes: Any) -> int:
    """Creates a task and returns its id."""
    (created,) = await task_create.create(engine, [new_task(**changes)], actor="api")
    assert isinstance(created, task_create.Created)
    return created.task_id


async def claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    worker_id: str = "worker",
    limit: int = 100,
    queue: str = task.DEFAULT_QUEUE,
    lease: datetime.timedelta = LEASE,
) -> list[task.Task]:
    """Claims due tasks."""
    claimed = await fast.claim(engine, queue=queue, worker_id=worker_id, limit=limit, lease=lease)
    return claimed.tasks


async def claimed(engine: sqlalchemy_asyncio.AsyncEngine, count: int = 1, **changes: Any) -> list[task.Task]:
    """Creates as many tasks, and claims them."""
    for _ in range(count):
        await create(engine, **changes)
    return await claim(engine)


async def claim_quarantined(
    engine: sqlalchemy_asyncio.AsyncEngine, *, level: int = 2, lease: datetime.timedelta = LEASE, limit: int = 100
) -> list[task.Task]:
    """Claims tasks that have lost that many leases."""
    return await fast.claim_quarantined(
        engine, queues=[task.DEFAULT_QUEUE], level=level, worker_id="worker", limit=limit, lease=lease
    )


async def brought_to(engine: sqlalchemy_asyncio.AsyncEngine, status: task.Status, **changes: Any) -> int:
    """Creates a task in a queue of its own, brings it to that status, and returns its id."""
    queue = f"to-{status}-{id(changes)}"
    task_id = await create(engine, queue=queue, **changes)
    if status is not task.Status.PENDING:
        (claimed,) = await claim(engine, queue=queue)
        assert claimed.task_id == task_id
        match status:
            case task.Status.RUNNING:
                await task_outcomes.log_starts(engine, [claimed], worker_id="worker")
            case task.Status.CANCELLED:
                await task_edit.cancel(engine, task_id, actor="api")
            case _:
                await task_outcomes.record(engine, [outcome(claimed, task.Change(status))], worker_id="worker")
    return task_id


async def history(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> list[str]:
    """Returns a task's changes, and verifies that its versions have no gap."""
    logs = await task_read.list_logs(engine, task_id, after_version=0, limit=1000)
    assert [log.version for log in logs] == list(range(1, len(logs) + 1))
    return [log.change for log in logs]


def new_schedule(
    *, template: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **changes: Any
) -> schedule.NewSchedule:
    """Returns a new schedule that is due each hour, first in half an hour: none of its times passes during a test."""
    given = {"interval": HOUR, **(spec or {})}
    if "cron" in given:
        del given["interval"]
    elif given["interval"] == HOUR:
        given = {"anchor": _in_half_an_hour(), **given}
    made = {
        "name": "hourly",
        "spec": recurrence.Spec(**given),
        "template": schedule.Template(**{"name": "noop", **(template or {})}),
    }
    return schedule.NewSchedule(**{**made, **changes})


def hourly() -> str:
    """Returns the cron expression of each hour, first in about half an hour."""
    return f"{_in_half_an_hour().minute} * * * *"


def _in_half_an_hour() -> datetime.datetime:
    return (datetime.datetime.now(datetime.UTC) + HOUR / 2).replace(microsecond=0)


async def create_schedule(engine: sqlalchemy_asyncio.AsyncEngine, **changes: Any) -> schedule.Schedule:
    """Creates a schedule."""
    return (await schedule_edit.create(engine, new_schedule(**changes), actor="api")).schedule


async def claim_locked(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str = task.DEFAULT_QUEUE,
    worker_id: str = "worker",
    limit: int = 100,
) -> fast.Claim:
    """Claims in a transaction: from a limited queue, and the occurrences of schedules."""
    return await locked.claim(engine, queue=queue, worker_id=worker_id, limit=limit, lease=LEASE)


async def advance(engine: sqlalchemy_asyncio.AsyncEngine, *, actor: str = "worker") -> int:
    """Advances schedules as a worker's look does, until none is due, and returns how many were advanced."""
    waiting = await candidates.waiting(engine, 0)
    moved, _ = await candidates.moved(engine, [task.DEFAULT_QUEUE], {})
    given = [*waiting.schedule_ids, *moved]
    count = (await schedule_advance.turn(engine, actor=actor, schedule_ids=given)).count if given else 0
    while turned := (await schedule_advance.turn(engine, actor=actor)).count:
        count += turned
    return count


async def claim_scheduled(engine: sqlalchemy_asyncio.AsyncEngine, **options: Any) -> fast.Claim:
    """Advances schedules, and claims due tasks."""
    await advance(engine)
    return await claim_locked(engine, **options)
