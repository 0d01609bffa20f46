"""Creating tasks: any number in one statement."""

import dataclasses
import datetime
import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core import database, errors, task
from duetime_core.store import rows


@dataclasses.dataclass(frozen=True, slots=True)
class Created:
    """A task that is committed. `is_new` is False where its request_id had made it before."""

    task_id: int
    queue: str
    execution_time: datetime.datetime
    now: datetime.datetime  # by the database's clock
    is_new: bool


# The ids are drawn before the insert, because RETURNING cannot say which input a row came from. One row lists them in
# the order of the input: joining the input to what was created would compare each of its tasks with all of those. One
# JSON parameter costs less to build and to send than an array for each column. Request ids are inserted in one order,
# because each waits for whoever inserts the same one: two batches in two orders would wait for each other.
_CREATE = sa.text(f"""
WITH input AS MATERIALIZED (
    SELECT nextval('tasks_task_id_seq') AS task_id, given.*
    FROM ROWS FROM (json_to_recordset(CAST(:tasks AS json)) AS (
        name text, queue text, execution_time timestamptz, task_data jsonb, max_retries int,
        initial_backoff interval, max_backoff interval, multiplier float8, jitter float8,
        timeout interval, request_id text, request_digest uuid, priority smallint, concurrency_key text,
        local_time timestamp, time_zone text
    )) WITH ORDINALITY AS given (
        name, queue, execution_time, task_data, max_retries, initial_backoff, max_backoff, multiplier, jitter,
        timeout, request_id, request_digest, priority, concurrency_key, local_time, time_zone, position
    )
), created AS (
    INSERT INTO tasks (
        task_id, name, queue, status, execution_time, task_data, max_retries, retry_initial_backoff,
        retry_max_backoff, retry_multiplier, retry_jitter, timeout, request_id, request_digest,
        priority, concurrency_key, local_time, time_zone
    ) OVERRIDING SYSTEM VALUE
    SELECT task_id, name, queue, 'pending', greatest(execution_time, now()), task_data, max_retries,
        initial_backoff, max_backoff, multiplier, jitter, timeout, request_id, request_digest,
        coalesce(priority, 0), concurrency_key, local_time, time_zone
    FROM input
    ORDER BY request_id COLLATE "C", position
    ON CONFLICT (request_id) WHERE request_id IS NOT NULL DO NOTHING
    RETURNING task_id, version, status, execution_time, retry_count, queue
), {rows.write_log("created", change="'created'")}
SELECT array_agg(task_id ORDER BY position) AS task_ids, NULL AS task_id, NULL AS queue, NULL AS execution_time, now()
FROM input
UNION ALL SELECT NULL, task_id, queue, execution_time, now() FROM created
""")

_FIND_REQUESTS = sa.text("""
SELECT request_id, request_digest, task_id, queue, execution_time, now()
FROM tasks WHERE request_id = ANY(CAST(:request_ids AS text[]))
""")


async def create(
    engine: sqlalchemy_asyncio.AsyncEngine, tasks: Sequence[task.NewTask], *, actor: str
) -> Sequence[Created | errors.DuetimeError | sqlalchemy.exc.DBAPIError]:
    """Creates those tasks in one commit and returns, in their order, what became of each.

    A task whose request_id was used before for another request is a RequestIdReused in the answer; the
    others are created all the same. What fails before anything is created is raised; what fails once some are is the
    answer for those that are not.
    """
    encoded = [_encode(new) for new in tasks]
    answers: dict[int, Created | errors.RequestIdReused] = {}
    try:
        with database.unavailable():
            async with engine.connect() as connection:
                await _answer(connection, encoded, actor, answers)
    except (errors.DuetimeError, sqlalchemy.exc.DBAPIError) as error:
        if not answers:
            raise
        # Each statement commits by itself: what an earlier one created stays, and must be answered and announced.
        return [answers.get(position, error) for position in range(len(encoded))]
    return [answers[position] for position in range(len(encoded))]


async def create_all(
    engine: sqlalchemy_asyncio.AsyncEngine, tasks: Sequence[task.NewTask], *, actor: str
) -> list[Created]:
    """Creates all those tasks or, if a request_id was used for another request, none: RequestIdReused."""
    encoded = [_encode(new) for new in tasks]
    with database.unavailable():
        async with database.transaction(engine) as connection:
            answers = await _create(connection, encoded, actor)
            created = [answer for answer in answers if isinstance(answer, Created)]
            for answer in answers:
                if isinstance(answer, errors.RequestIdReused):
                    raise answer
            return created


async def _create(
    connection: sqlalchemy_asyncio.AsyncConnection, encoded: Sequence[dict[str, Any]], actor: str
) -> list[Created | errors.RequestIdReused]:
    answers: dict[int, Created | errors.RequestIdReused] = {}
    await _answer(connection, encoded, actor, answers)
    return [answers[position] for position in range(len(encoded))]


async def _answer(
    connection: sqlalchemy_asyncio.AsyncConnection,
    encoded: Sequence[dict[str, Any]],
    actor: str,
    answers: dict[int, Created | errors.RequestIdReused],
) -> None:
    """Fills `answers`, by position. Where it raises, they are what became of some of them before."""
    missing = list(range(len(encoded)))
    while missing:
        tasks = json.dumps([encoded[position] for position in missing], ensure_ascii=False)
        found = (await connection.execute(_CREATE, {"tasks": tasks, "actor": actor})).all()
        (task_ids,) = (row[0] for row in found if row[0] is not None)
        positions = dict(zip(task_ids, missing, strict=True))
        for _, task_id, queue, execution_time, now in (row for row in found if row[0] is None):
            answers[positions[task_id]] = Created(task_id, queue, execution_time, now, is_new=True)
        # What was not created had its request_id taken. Whoever took it has committed by now, or the insert
        # would still wait for it; only if retention deleted that task since is there nothing to find, and
        # then the id is free and the insert is tried again.
        missing = [position for position in missing if position not in answers]
        if missing:
            await _find(connection, encoded, missing, answers)
            missing = [position for position in missing if position not in answers]


async def _find(
    connection: sqlalchemy_asyncio.AsyncConnection,
    encoded: Sequence[dict[str, Any]],
    missing: Sequence[int],
    answers: dict[int, Created | errors.RequestIdReused],
) -> None:
    request_ids = [encoded[position]["request_id"] for position in missing]
    found = {row[0]: row for row in await connection.execute(_FIND_REQUESTS, {"request_ids": request_ids})}
    for position in missing:
        new = encoded[position]
        row = found.get(new["request_id"])
        if row is None:
            continue
        if str(row[1]) == new["request_digest"]:
            answers[position] = Created(row[2], row[3], row[4], row[5], is_new=False)
        else:
            answers[position] = errors.RequestIdReused(request_id=new["request_id"], task_id=str(row[2]))


def _encode(new: task.NewTask) -> dict[str, Any]:
    policy = new.retry_policy
    encoded = {
        "name": new.name,
        "queue": new.queue,
        "execution_time": new.execution_time.isoformat(),
        "task_data": new.task_data,
        "max_retries": new.max_retries,
        "initial_backoff": rows.interval(policy.initial_backoff),
        "max_backoff": rows.interval(policy.max_backoff),
        "multiplier": policy.multiplier,
        "jitter": policy.jitter,
        "timeout": None if new.timeout is None else rows.interval(new.timeout),
    }
    # What is not given is not written: the digests of requests from before these fields came stay as they are.
    if new.priority:
        encoded["priority"] = new.priority
    if new.concurrency_key is not None:
        encoded["concurrency_key"] = new.concurrency_key
    if new.local_time is not None:
        encoded |= {"local_time": new.local_time.isoformat(), "time_zone": new.time_zone}
    if new.request_id is not None:
        canonical = json.dumps(encoded, sort_keys=True).encode()
        encoded["request_id"] = new.request_id
        encoded["request_digest"] = str(uuid.UUID(bytes=hashlib.sha256(canonical).digest()[:16]))
    return encoded
