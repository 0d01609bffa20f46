"""Creating tasks: any number in one statement."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, namespace, task
from duetime_core.postgres import confirmation, database
from duetime_core.store import encoding
from duetime_core.store.tasks import creation, request_ids


@dataclasses.dataclass(slots=True, kw_only=True)
class Created(task.Changed):
    """A committed task. `is_new` is False if an earlier request with its request_id created it."""

    is_new: bool


class Caller(NamedTuple):
    """Who creates a task, and in which namespace."""

    namespace_id: int
    actor: str


_Answer = Created | errors.RequestIdTaken


async def create(
    engine: sqlalchemy_asyncio.AsyncEngine, tasks: Sequence[task.NewTask], *, actor: str | list[Caller]
) -> Sequence[Created | errors.DuetimeError | sqlalchemy.exc.DBAPIError]:
    """Creates those tasks in one commit and returns a result for each, in order. A list has the caller of each task.

    The result of a task whose request_id was used before, for another request or for a task that was cancelled or
    deleted, is RequestIdTaken; the others are created. An error before any task is created is raised; a later one is
    the result of the tasks that were not created.
    """
    encoded = [_encode(new) for new in tasks]
    if isinstance(actor, list):
        for new, own in zip(encoded, actor, strict=True):
            new["namespace_id"], new["actor"] = own
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

    Without an actor each of `encoded` has its own caller. With `all_or_none` it ends at the first refusals, and the
    caller rolls everything back.
    """
    missing = list(range(len(encoded)))
    while missing:
        sent = _firsts(encoded, missing)
        tasks = json.dumps([encoded[position] for position in sent], ensure_ascii=False)
        parameters = {"tasks": tasks} if actor is None else {"tasks": tasks, "actor": actor}
        statement = (
            creation.CREATE_ALL if all_or_none else creation.CREATE_FOR_CALLERS if actor is None else creation.CREATE
        )
        positions: dict[int, int] = {}
        for task_ids, ordinals, task_id, queue, execution_time, now in await connection.execute(statement, parameters):
            if task_id is not None:
                position = positions[task_id]
                namespace_id = _namespace_id(encoded[position])
                answers[position] = Created(task_id, queue, execution_time, now, namespace_id, is_new=True)
            elif task_ids is not None:
                positions = {drawn: sent[ordinal - 1] for drawn, ordinal in zip(task_ids, ordinals, strict=True)}
        # The request_ids of the tasks that were not created were taken. The transaction that took each has committed,
        # or the insert would still wait for it. Only if retention deleted that task since is none found; then the
        # request_id is free, and the insert is retried.
        missing = [position for position in missing if position not in answers]
        if missing:
            for namespace_id in {_namespace_id(encoded[position]) for position in missing}:
                own = [position for position in missing if _namespace_id(encoded[position]) == namespace_id]
                with namespace.use(namespace_id):
                    await _find(connection, encoded, own, answers)
            if all_or_none and any(isinstance(answer, errors.RequestIdTaken) for answer in answers.values()):
                return
            missing = [position for position in missing if position not in answers]


def _namespace_id(new: dict[str, Any]) -> int:
    """Returns the namespace of an encoded task: that of the call, unless it has its own caller."""
    own: int | None = new.get("namespace_id")
    return namespace.current() if own is None else own


def _firsts(encoded: Sequence[dict[str, Any]], missing: Sequence[int]) -> list[int]:
    """Returns the positions of the first task with each request_id: the others would draw ids without need."""
    seen: set[tuple[int, str]] = set()
    firsts = []
    for position in missing:
        request_id = encoded[position].get("request_id")
        if request_id is None:
            firsts.append(position)
        elif (used := (_namespace_id(encoded[position]), request_id)) not in seen:
            seen.add(used)
            firsts.append(position)
    return firsts


async def _find(
    connection: sqlalchemy_asyncio.AsyncConnection,
    encoded: Sequence[dict[str, Any]],
    missing: Sequence[int],
    answers: dict[int, _Answer],
) -> None:
    wanted = [request_id for position in missing if (request_id := encoded[position].get("request_id"))]
    found = {row.request_id: row for row in await connection.execute(creation.FIND_REQUESTS, {"request_ids": wanted})}
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
            answers[position] = refusal or Created(
                task_id, queue, execution_time, now, namespace.current(), is_new=False
            )


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
