"""Creating tasks: any number in one statement."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import confirmation, database
from duetime_core.store import encoding
from duetime_core.store.tasks import columns, payloads, request_ids


@dataclasses.dataclass(slots=True, kw_only=True)
class Created(task.Changed):
    """A committed task. `is_new` is False if an earlier request with its request_id created it."""

    is_new: bool


_FIELDS = {
    **encoding.TEMPLATE,
    "execution_time": "timestamptz",
    "request_id": "text",
    "request_digest": "uuid",
    "local_time": "timestamp",
    "time_zone": "text",
}
_GIVEN = {**_FIELDS, "earlier_digest": "uuid"}
_STORED = [field for field in _FIELDS if field != "request_digest"]
_VALUES = ", ".join(
    encoding.expressions(
        _STORED, execution_time="greatest(given.execution_time, now())", task_data=payloads.inline("given.task_data")
    )
)


# Ids are drawn only for inserted tasks: the same statement first looks up request_ids that already have a task, and an
# all-or-none batch that these refuse draws none. The exception is a request_id that another transaction takes at the
# same moment.
# They are drawn before the insert, because RETURNING cannot return the input position of a row. One row lists them with
# their input positions: joining the input to the created rows would compare each of its tasks with all of those.
# One JSON parameter costs less to build and to send than an array per column. Request ids are inserted first, in one
# order, because an insert waits for another transaction's insert of the same one: batches in two orders would deadlock.
def _creating(is_repeated: str, condition: str, *, has_actors: bool = False) -> sa.TextClause:
    """Returns the statement that creates the tasks with new request_ids, if `condition` holds.

    `is_repeated` is what it has of the others, whose row in `request_ids` is `earlier`. With `has_actors` each task of
    the input has its actor.
    """
    given = {**_GIVEN, "actor": "text"} if has_actors else _GIVEN
    # A binary search, for the same reason.
    actors = """callers AS MATERIALIZED (
    SELECT array_agg(task_id ORDER BY task_id) AS task_ids, array_agg(actor ORDER BY task_id) AS actors FROM input
), """
    actor = "(SELECT actors[width_bucket(created.task_id, task_ids)] FROM callers)"
    return sa.text(f"""
WITH given AS MATERIALIZED (
    SELECT given.*, (
        -- NULL if its request_id is new.
        SELECT {is_repeated} FROM request_ids AS earlier WHERE earlier.request_id = given.request_id
    ) AS is_repeated
    FROM ROWS FROM (json_to_recordset(CAST(:tasks AS json)) AS (
        {encoding.record(given)}
    )) WITH ORDINALITY AS given (
        {", ".join(given)}, position
    )
), input AS MATERIALIZED (
    SELECT nextval('tasks_task_id_seq') AS task_id, given.* FROM given
    WHERE is_repeated IS NULL AND {condition}
), named AS (
    INSERT INTO request_ids (request_id, task_id, digest)
    SELECT request_id, task_id, request_digest FROM input WHERE request_id IS NOT NULL
    ORDER BY request_id COLLATE "C", position
    ON CONFLICT DO NOTHING
    RETURNING task_id
), created AS (
    INSERT INTO tasks (task_id, {encoding.columns(_STORED)}) OVERRIDING SYSTEM VALUE
    SELECT task_id, {_VALUES}
    FROM input AS given WHERE request_id IS NULL OR task_id IN (SELECT task_id FROM named)
    ORDER BY position
    RETURNING task_id, version, execution_time, retry_count, queue, name, priority, concurrency_key, schedule_id
), waits AS (
    INSERT INTO waiting (task_id, queue, ready_at, version, level, concurrency_key, schedule_id)
    SELECT task_id, queue, greatest(execution_time, clock_timestamp()), version, {columns.QUEUE_LEVEL}, concurrency_key,
        schedule_id
    FROM created
), {payloads.OF_CREATED}, {actors if has_actors else ""}{
        columns.write_log("created", change="'created'", status="'pending'", actor=actor if has_actors else ":actor")
    }
SELECT array_agg(task_id) AS task_ids, array_agg(position) AS positions, NULL AS task_id, NULL AS queue,
    NULL AS execution_time, now()
FROM input
UNION ALL SELECT NULL, NULL, task_id, queue, execution_time, now() FROM created
""")


_CREATE = _creating("true", "true")
_CREATE_FOR_ACTORS = _creating("true", "true", has_actors=True)
# Apart, because a statement that may look into all partitions of `ended_tasks` costs as much again.
_CREATE_ALL = _creating(
    """(earlier.digest IN (given.request_digest, given.earlier_digest)) IS TRUE AND NOT EXISTS (
            SELECT FROM ended_tasks
            WHERE ended_tasks.task_id = earlier.task_id AND (status = 'cancelled' OR deleted_at IS NOT NULL)
        )""",
    "NOT EXISTS (SELECT FROM given AS refused WHERE NOT refused.is_repeated)",
)

_FIND_REQUESTS = sa.text("""
SELECT request_id, digest, request_ids.task_id, queue, execution_time, now(), status, deleted_at
FROM request_ids CROSS JOIN LATERAL (
    SELECT queue, execution_time, NULL AS deleted_at, CASE
        WHEN EXISTS (SELECT FROM waiting WHERE waiting.task_id = tasks.task_id) THEN 'pending' ELSE 'running'
    END AS status
    FROM tasks WHERE tasks.task_id = request_ids.task_id
    UNION ALL
    SELECT queue, execution_time, deleted_at, status FROM ended_tasks WHERE ended_tasks.task_id = request_ids.task_id
) AS earlier
WHERE request_id = ANY(CAST(:request_ids AS text[]))
""")

_Answer = Created | errors.RequestIdTaken


async def create(
    engine: sqlalchemy_asyncio.AsyncEngine, tasks: Sequence[task.NewTask], *, actor: str | list[str]
) -> Sequence[Created | errors.DuetimeError | sqlalchemy.exc.DBAPIError]:
    """Creates those tasks in one commit and returns a result for each, in order. A list has the actor of each task.

    The result of a task whose request_id was used before, for another request or for a task that was cancelled or
    deleted, is RequestIdTaken; the others are created. An error before any task is created is raised; a later one is
    the result of the tasks that were not created.
    """
    encoded = [_encode(new) for new in tasks]
    if isinstance(actor, list):
        for new, own in zip(encoded, actor, strict=True):
            new["actor"] = own
    answers: dict[int, _Answer] = {}
    try:
        with database.unavailable():
            async with engine.connect() as connection:
                await _answer(connection, encoded, None if isinstance(actor, list) else actor, answers)
    except (errors.DuetimeError, sqlalchemy.exc.DBAPIError) as error:
        if not answers:
            raise
        # Each statement commits by itself: the tasks that an earlier one created stay, and must be returned.
        return [answers.get(position, error) for position in range(len(encoded))]
    return [answers[position] for position in range(len(encoded))]


async def create_all(
    engine: sqlalchemy_asyncio.AsyncEngine, tasks: Sequence[task.NewTask], *, actor: str
) -> list[Created]:
    """Creates all those tasks, or none and raises RequestIdTaken, as in `create`.

    It runs to completion even if the caller hangs up.
    """
    encoded = [_encode(new) for new in tasks]
    _require_one_request_each(encoded)

    async def create_encoded(connection: sqlalchemy_asyncio.AsyncConnection) -> list[Created]:
        created = []
        for answer in await _create(connection, encoded, actor, all_or_none=True):
            if isinstance(answer, errors.RequestIdTaken):
                raise answer
            created.append(answer)
        return created

    async with confirmation.of_refusals(engine):
        return await database.run_to_completion(engine, create_encoded)


def _require_one_request_each(encoded: Sequence[dict[str, Any]]) -> None:
    digests: dict[str, str] = {}
    for new in encoded:
        request_id = new.get("request_id")
        if request_id is not None and digests.setdefault(request_id, new["request_digest"]) != new["request_digest"]:
            raise errors.RequestIdReused(
                f"request_id {request_id!r} is used twice in the batch, for different tasks.", request_id=request_id
            )


async def _create(
    connection: sqlalchemy_asyncio.AsyncConnection,
    encoded: Sequence[dict[str, Any]],
    actor: str,
    *,
    all_or_none: bool = False,
) -> list[_Answer]:
    answers: dict[int, _Answer] = {}
    await _answer(connection, encoded, actor, answers, all_or_none=all_or_none)
    return [answer for _, answer in sorted(answers.items())]


async def _answer(
    connection: sqlalchemy_asyncio.AsyncConnection,
    encoded: Sequence[dict[str, Any]],
    actor: str | None,
    answers: dict[int, _Answer],
    *,
    all_or_none: bool = False,
) -> None:
    """Fills `answers`, by position. If it raises, they have the tasks of the statements before.

    Without an actor each of `encoded` has its own. With `all_or_none` it ends at the first refusals, and the caller
    rolls everything back.
    """
    missing = list(range(len(encoded)))
    while missing:
        sent = _firsts(encoded, missing)
        tasks = json.dumps([encoded[position] for position in sent], ensure_ascii=False)
        parameters = {"tasks": tasks} if actor is None else {"tasks": tasks, "actor": actor}
        statement = _CREATE_ALL if all_or_none else _CREATE_FOR_ACTORS if actor is None else _CREATE
        positions: dict[int, int] = {}
        for task_ids, ordinals, task_id, queue, execution_time, now in await connection.execute(statement, parameters):
            if task_id is not None:
                answers[positions[task_id]] = Created(task_id, queue, execution_time, now, is_new=True)
            elif task_ids is not None:
                positions = {drawn: sent[ordinal - 1] for drawn, ordinal in zip(task_ids, ordinals, strict=True)}
        # The request_ids of the tasks that were not created were taken. The transaction that took each has committed,
        # or the insert would still wait for it. Only if retention deleted that task since is none found; then the
        # request_id is free, and the insert is retried.
        missing = [position for position in missing if position not in answers]
        if missing:
            await _find(connection, encoded, missing, answers)
            if all_or_none and any(isinstance(answer, errors.RequestIdTaken) for answer in answers.values()):
                return
            missing = [position for position in missing if position not in answers]


def _firsts(encoded: Sequence[dict[str, Any]], missing: Sequence[int]) -> list[int]:
    """Returns the positions of the first task with each request_id: the others would draw ids without need."""
    seen: set[str] = set()
    firsts = []
    for position in missing:
        request_id = encoded[position].get("request_id")
        if request_id is None:
            firsts.append(position)
        elif request_id not in seen:
            seen.add(request_id)
            firsts.append(position)
    return firsts


async def _find(
    connection: sqlalchemy_asyncio.AsyncConnection,
    encoded: Sequence[dict[str, Any]],
    missing: Sequence[int],
    answers: dict[int, _Answer],
) -> None:
    wanted = [request_id for position in missing if (request_id := encoded[position].get("request_id"))]
    found = {row.request_id: row for row in await connection.execute(_FIND_REQUESTS, {"request_ids": wanted})}
    if found:
        await confirmation.write(connection)
    for position in missing:
        new = encoded[position]
        row = found.get(new.get("request_id"))
        if row is not None:
            request_id, digest, task_id, queue, execution_time, now, status, deleted_at = row
            refusal = request_ids.refusal(
                request_id,
                task_id,
                is_same=str(digest) in (new["request_digest"], new.get("earlier_digest")),
                status=status,
                deleted_at=deleted_at,
            )
            answers[position] = refusal or Created(task_id, queue, execution_time, now, is_new=False)


def _encode(new: task.NewTask) -> dict[str, Any]:
    encoded = encoding.template(new)
    encoded["execution_time"] = new.execution_time.isoformat()
    if new.local_time is not None:
        encoded |= {"local_time": new.local_time.isoformat(), "time_zone": new.time_zone}
    if new.request_id is not None:
        encoded |= _digests(new, encoded)
        encoded["request_id"] = new.request_id
    return encoded


def _digests(new: task.NewTask, encoded: Mapping[str, Any]) -> dict[str, str]:
    """Returns the digest of what the caller gave, the same under every time zone database.

    `earlier_digest` is the one that release 0.2.0 stored: of a local time it includes the instant.
    """
    requested = new.requested_retries
    retries = {} if requested is None else encoding.retries(requested.max_retries, requested.retry_policy)
    given = {**encoded, **retries}
    if new.local_time is None:
        return {"request_digest": str(request_ids.digest(given))}
    earlier = str(request_ids.digest(given))
    del given["execution_time"]
    return {"request_digest": str(request_ids.digest(given)), "earlier_digest": earlier}
