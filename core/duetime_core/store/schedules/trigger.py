"""Triggering a schedule: creating a task now, besides its rule."""

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.postgres import confirmation, database, namespaced
from duetime_core.store.schedules import columns, occurrences, row_lock
from duetime_core.store.tasks import request_ids

_REQUESTED = namespaced.text("""
SELECT request_ids.task_id, schedule_id, status, deleted_at FROM request_ids CROSS JOIN LATERAL (
    SELECT schedule_id, 'pending' AS status, NULL AS deleted_at FROM tasks
    WHERE tasks.task_id = request_ids.task_id AND tasks.namespace_id = :namespace_id
    UNION ALL
    SELECT schedule_id, status, deleted_at FROM ended_tasks
    WHERE ended_tasks.task_id = request_ids.task_id AND ended_tasks.namespace_id = :namespace_id
) AS earlier
WHERE request_ids.namespace_id = :namespace_id AND request_ids.request_id = :request_id
""")


async def trigger(
    engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int, *, request_id: str | None, actor: str
) -> occurrences.Placed | int:
    """Creates a task of the schedule, due now, and returns it; for a repeated request, the task_id that it created.

    Raises ScheduleNotFound or RequestIdTaken.
    """

    async def trigger_in(connection: sqlalchemy_asyncio.AsyncConnection) -> occurrences.Placed | int:
        triggered = await row_lock.lock(connection, schedule_id)
        while True:
            if request_id is not None:
                task_id = await _requested(connection, request_id, schedule_id)
                if task_id is not None:
                    return task_id
            encoded = [occurrences.encode(triggered, None, is_next=False, request_id=request_id)]
            inserted = await occurrences.insert(connection, encoded, actor=actor)
            if inserted:
                break
            # A CreateTask took the request_id meanwhile and has committed: the next look-up finds its task.
        (placed,) = inserted
        entry = columns.entry(
            schedule_id, "triggered", task_id=placed.task_id, nominal_time=placed.nominal_time.isoformat()
        )
        await columns.log(connection, [entry], actor=actor)
        return placed

    async with confirmation.of_refusals(engine):
        return await database.run_to_completion(engine, trigger_in)


async def _requested(connection: sqlalchemy_asyncio.AsyncConnection, request_id: str, schedule_id: int) -> int | None:
    """Returns the task that an earlier request created with the request_id. Raises RequestIdTaken."""
    found = (await connection.execute(_REQUESTED, {"request_id": request_id})).one_or_none()
    if found is None:
        return None
    refusal = request_ids.refusal(
        request_id,
        found.task_id,
        is_same=found.schedule_id == schedule_id,
        status=found.status,
        deleted_at=found.deleted_at,
    )
    if refusal is not None:
        raise refusal
    return int(found.task_id)
