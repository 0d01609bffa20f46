"""Reading the facts that explain why a task does not run: the task and its queue in one statement, and the workers."""

import datetime

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, explanation, queue, schedule, worker
from duetime_core.postgres import database, namespaced
from duetime_core.store import leases
from duetime_core.store.queues import workers
from duetime_core.store.tasks import columns
from duetime_core.store.tasks import read as task_read

_READ = namespaced.text(f"""
SELECT found.*, now() AS now, coalesce(queues.is_paused, false) AS is_paused, max_running, max_per_second,
    max_running_per_key, max_per_second_per_key, queues.tokens, queues.tokens_at,
    queue_keys.tokens AS key_tokens, queue_keys.tokens_at AS key_tokens_at,
    (
        SELECT count(*) FROM {leases.RUNNING} AS running JOIN tasks USING (task_id, version)
        WHERE running.queue = found.queue AND tasks.namespace_id = :namespace_id
    ) AS running,
    (
        SELECT count(*) FROM {leases.RUNNING} AS running JOIN tasks USING (task_id, version)
        WHERE running.queue = found.queue AND tasks.namespace_id = :namespace_id
            AND tasks.concurrency_key = found.concurrency_key
    ) AS running_of_key,
    CASE WHEN found.is_next THEN advance_error END AS advance_error,
    found.is_next AND overlap = '{schedule.Overlap.QUEUE}' AND {columns.is_overlapped("schedules.schedule_id")}
        AS waits_for_run
FROM ({task_read.GET}) AS found
LEFT JOIN queues ON queues.namespace_id = :namespace_id AND queues.name = found.queue
LEFT JOIN queue_keys ON queue_keys.namespace_id = :namespace_id AND queue_keys.queue = found.queue
    AND queue_keys.concurrency_key = found.concurrency_key
LEFT JOIN schedules ON schedules.namespace_id = :namespace_id AND schedules.schedule_id = found.schedule_id
""")
_LIVE = namespaced.text(f"""
SELECT worker_id, queues, handlers, concurrency, running, started_at, last_heartbeat_at, true AS is_alive, free_slots
FROM workers WHERE namespace_id = :namespace_id AND {workers.ALIVE} ORDER BY worker_id
""")


async def read(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int) -> explanation.Facts:
    """Returns the facts about that task. Raises TaskNotFound if there is none, or it was deleted."""
    with database.unavailable():
        async with engine.connect() as connection:
            row = (await connection.execute(_READ, {"task_id": task_id})).one_or_none()
            if row is None:
                raise errors.TaskNotFound.of(task_id)
            live = [worker.Worker(**found._asdict()) for found in await connection.execute(_LIVE)]
    limits = queue.QueueLimits(
        row.is_paused, row.max_running, row.max_per_second, row.max_running_per_key, row.max_per_second_per_key
    )
    return explanation.Facts(
        columns.read_task(row),
        row.now,
        limits,
        row.running,
        row.running_of_key,
        _bucket(limits.max_per_second, row.tokens, row.tokens_at, row.now),
        _bucket(limits.max_per_second_per_key, row.key_tokens, row.key_tokens_at, row.now),
        row.advance_error,
        bool(row.waits_for_run),
        live,
    )


def _bucket(
    per_second: float | None, tokens: float | None, at: datetime.datetime, now: datetime.datetime
) -> queue.TokenBucket | None:
    if per_second is None or tokens is None:
        return None
    bucket = queue.TokenBucket(per_second, tokens, at)
    bucket.advance(now)
    return bucket
