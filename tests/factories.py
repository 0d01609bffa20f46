"""What tests are made of, right unless they say otherwise."""

import datetime
from typing import Any

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import recurrence, schedule, task
from duetime_core.store import claims, controlled_claims, creation, edits, finishes, reads, schedules

LEASE = datetime.timedelta(seconds=30)
SECOND = datetime.timedelta(seconds=1)


def new_task(**changes: Any) -> task.NewTask:
    """A task that is due now."""
    return task.NewTask(**{"name": "noop", "execution_time": datetime.datetime.now(datetime.UTC), **changes})


def outcome(claimed: task.Task, change: task.Change = task.Change.COMPLETED, **changes: Any) -> finishes.Outcome:
    """How a claimed task's run ended."""
    if change is task.Change.RETRY_SCHEDULED:
        changes = {"backoff": SECOND, **changes}
    return finishes.Outcome(claimed.task_id, claimed.version, change, SECOND, **changes)


async def create(engine: sqlalchemy_asyncio.AsyncEngine, **changes: Any) -> int:
    """Creates a task and returns its id."""
    (created,) = await creation.create(engine, [new_task(**changes)], actor="api")
    assert isinstance(created, creation.Created)
    return created.task_id


async def claim(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    worker_id: str = "worker",
    places: int = 100,
    queue: str = task.DEFAULT_QUEUE,
    lease: datetime.timedelta = LEASE,
) -> list[task.Task]:
    """Claims what is due."""
    claimed = await claims.claim(engine, queue=queue, worker_id=worker_id, places=places, lease=lease)
    return claimed.tasks


async def claim_suspects(
    engine: sqlalchemy_asyncio.AsyncEngine, *, level: int = 2, lease: datetime.timedelta = LEASE, places: int = 100
) -> list[task.Task]:
    """Claims what lost that many leases."""
    return await claims.claim_suspects(
        engine, queues=[task.DEFAULT_QUEUE], level=level, worker_id="worker", places=places, lease=lease
    )


async def brought_to(engine: sqlalchemy_asyncio.AsyncEngine, status: task.Status, **changes: Any) -> int:
    """Creates a task, brings it to that status and returns its id. It is alone in a queue of its own."""
    queue = f"to-{status}-{id(changes)}"
    task_id = await create(engine, queue=queue, **changes)
    if status is not task.Status.PENDING:
        (claimed,) = await claim(engine, queue=queue)
        assert claimed.task_id == task_id
        if status is not task.Status.RUNNING:
            if status is task.Status.CANCELLED:
                await edits.cancel(engine, task_id, actor="api")
            else:
                await finishes.finish(engine, [outcome(claimed, task.Change(status))], worker_id="worker")
    return task_id


async def history(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> list[str]:
    """Returns a task's changes; holds its versions to be without a gap."""
    logs = await reads.list_logs(engine, task_id, after_version=0, limit=1000)
    assert [log.version for log in logs] == list(range(1, len(logs) + 1))
    return [log.change for log in logs]


def new_schedule(
    *, template: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **changes: Any
) -> schedule.NewSchedule:
    """A schedule that is due each hour."""
    given = {"interval": datetime.timedelta(hours=1), **(spec or {})}
    if "cron" in given:
        del given["interval"]
    made = {
        "name": "hourly",
        "spec": recurrence.Spec(**given),
        "template": schedule.Template(**{"name": "noop", **(template or {})}),
    }
    return schedule.NewSchedule(**{**made, **changes})


async def create_schedule(engine: sqlalchemy_asyncio.AsyncEngine, **changes: Any) -> schedule.Schedule:
    """Creates a schedule."""
    return (await schedules.create(engine, new_schedule(**changes), actor="api")).schedule


async def claim_carefully(
    engine: sqlalchemy_asyncio.AsyncEngine,
    *,
    queue: str = task.DEFAULT_QUEUE,
    worker_id: str = "worker",
    places: int = 100,
) -> claims.Claim:
    """Claims in a transaction: from a queue that is held back, and the occurrences of schedules."""
    return await controlled_claims.claim(engine, queue=queue, worker_id=worker_id, places=places, lease=LEASE)
