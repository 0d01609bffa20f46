"""Callers' changes to schedules. Each locks the schedule's row first, then its task; workers wait for neither."""

import contextlib
import dataclasses
import datetime
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, recurrence, schedule, schedule_json, task
from duetime_core.postgres import confirmation, database, namespaced
from duetime_core.store.schedules import clock, columns, next_task, reconcile
from duetime_core.store.tasks import request_ids

_SELECT = f"SELECT {columns.COLUMNS}, {columns.NEXT_COLUMNS} FROM schedules {columns.NEXT}"
_THIS = "schedules.schedule_id = :schedule_id AND schedules.namespace_id = :namespace_id"
_GET = namespaced.text(f"{_SELECT} WHERE {_THIS} AND schedules.deleted_at IS NULL")
_LOCK = namespaced.text(f"{_SELECT} WHERE {_THIS} AND schedules.deleted_at IS NULL FOR UPDATE OF schedules")
_NOW = sa.text("SELECT clock_timestamp()")  # after the wait for the lock
_INSERT = namespaced.text("""
INSERT INTO schedules (namespace_id, name, spec, template, overlap, catch_up, catch_up_window, is_paused,
    last_nominal_time, zone_version, request_id, request_digest)
VALUES (:namespace_id, :name, CAST(:spec AS jsonb), CAST(:template AS jsonb), :overlap, :catch_up, :catch_up_window,
    :is_paused, now(), :zone_version, :request_id, :request_digest)
ON CONFLICT (namespace_id, request_id) WHERE request_id IS NOT NULL DO NOTHING
RETURNING schedule_id
""")
_FIND_REQUEST = namespaced.text("""
SELECT schedule_id, request_digest, deleted_at FROM schedules
WHERE namespace_id = :namespace_id AND request_id = :request_id
""")
_UPDATE = namespaced.text("""
UPDATE schedules SET name = :name, spec = CAST(:spec AS jsonb), template = CAST(:template AS jsonb),
    overlap = :overlap, catch_up = :catch_up, catch_up_window = :catch_up_window, is_paused = :is_paused,
    zone_version = :zone_version, version = version + 1, updated_at = now()
WHERE schedule_id = :schedule_id AND namespace_id = :namespace_id
""")
_DELETE = namespaced.text(f"UPDATE schedules SET deleted_at = now(), updated_at = now() WHERE {_THIS}")

_IS_PAUSED = "the schedule was paused before it ran"
_IS_DELETED = "the schedule was deleted before it ran"
PAUSED = "The schedule was paused."
DELETED = "The schedule was deleted."


@dataclasses.dataclass(frozen=True, slots=True)
class Changed:
    """A schedule after a change, and the tasks that the change created, moved or cancelled."""

    schedule: schedule.Schedule
    tasks: Sequence[task.Changed] = ()


async def create(engine: sqlalchemy_asyncio.AsyncEngine, new: schedule.NewSchedule, *, actor: str) -> Changed:
    """Creates a schedule with its first occurrence; for a repeated request, returns the one that it created.

    Raises RequestIdTaken.
    """
    encoded = _encode(new)
    digest = None
    if new.request_id is not None:
        digest = _digest(new)
    parameters = {**encoded, "request_id": new.request_id, "request_digest": digest}

    async def create_in(connection: sqlalchemy_asyncio.AsyncConnection) -> Changed:
        schedule_id = None
        while schedule_id is None:
            # Looked up first, because an insert that finds the request_id taken has already drawn a schedule_id. If
            # another transaction takes it meanwhile, the next look-up finds its schedule, unless retention has deleted
            # that since.
            earlier = None if digest is None else await _find_request(connection, parameters)
            if earlier is not None:
                return earlier
            schedule_id = (await connection.execute(_INSERT, parameters)).scalar_one_or_none()
        created = await _read(connection, _GET, schedule_id)
        placed: Sequence[task.Changed] = ()
        if not new.is_paused:
            now = created.created_at
            placed = (await reconcile.follow(connection, created, now, now, actor=actor)).tasks
        await columns.log(connection, [columns.entry(schedule_id, "created")], actor=actor)
        return Changed(await _read(connection, _GET, schedule_id), placed)

    async with confirmation.of_refusals(engine):
        return await database.run_to_completion(engine, create_in)


async def _find_request(
    connection: sqlalchemy_asyncio.AsyncConnection, parameters: Mapping[str, Any]
) -> Changed | None:
    request_id: str = parameters["request_id"]
    found = (await connection.execute(_FIND_REQUEST, {"request_id": request_id})).one_or_none()
    if found is None:
        return None
    is_same = found.request_digest == parameters["request_digest"]
    refusal = request_ids.schedule_refusal(request_id, found.schedule_id, is_same=is_same, deleted_at=found.deleted_at)
    if refusal is not None:
        raise refusal
    await confirmation.write(connection)
    return Changed(await _read(connection, _GET, found.schedule_id))


async def get(engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int) -> schedule.Schedule:
    """Returns that schedule; raises ScheduleNotFound if there is none, or it was deleted."""
    with database.unavailable():
        async with engine.connect() as connection:
            return await _read(connection, _GET, schedule_id)


async def update(
    engine: sqlalchemy_asyncio.AsyncEngine,
    schedule_id: int,
    changes: Mapping[str, Any],
    *,
    version: int | None,
    actor: str,
) -> Changed:
    """Changes those fields of a schedule, validated already, and moves its pending occurrence.

    `changes` maps fields of `schedule.NewSchedule` to new values; `version`, if given, must be the current one. Raises
    ScheduleNotFound or VersionMismatch.
    """
    async with _locked(engine, schedule_id) as (connection, present, now):
        if version not in (None, present.version):
            raise errors.VersionMismatch(
                f"Schedule {schedule_id} has version {present.version}, not {version}.", version=str(present.version)
            )
        updated = dataclasses.replace(present, **changes)
        reason = ", ".join(schedule.differences(present, updated)) or None
        return await _write(connection, present, updated, now, change="updated", actor=actor, reason=reason)


async def pause(engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int, *, actor: str) -> Changed:
    """Pauses a schedule: its pending occurrence is withdrawn. Raises ScheduleNotFound."""
    async with _locked(engine, schedule_id) as (connection, present, now):
        if present.is_paused:
            return Changed(present)
        paused = dataclasses.replace(present, is_paused=True)
        return await _write(connection, present, paused, now, change="paused", actor=actor)


async def resume(engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int, *, actor: str) -> Changed:
    """Resumes a schedule: its next occurrence is after now. Raises ScheduleNotFound."""
    async with _locked(engine, schedule_id) as (connection, present, now):
        if not present.is_paused:
            return Changed(present)
        resumed = dataclasses.replace(present, is_paused=False)
        return await _write(connection, present, resumed, now, change="resumed", actor=actor)


async def delete(engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int, *, actor: str) -> list[task.Changed]:
    """Deletes a schedule and its pending occurrence, and returns its task if there is one.

    Raises ScheduleNotFound.
    """
    async with _row_locked(engine, schedule_id) as (connection, row, now):
        await connection.execute(_DELETE, {"schedule_id": schedule_id})
        await columns.log(connection, [columns.entry(schedule_id, "deleted")], actor=actor, at=now)
        try:
            present = columns.read_schedule(row)
        except errors.ScheduleUnreadable:
            await clock.stop(connection, [schedule_id])
            return await next_task.withdraw(connection, schedule_id, reason=DELETED, actor=actor)
        return await reconcile.withdraw(
            connection, present, now, reason=_IS_DELETED, error_message=DELETED, actor=actor
        )


@contextlib.asynccontextmanager
async def _row_locked(
    engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int
) -> AsyncIterator[tuple[sqlalchemy_asyncio.AsyncConnection, sa.Row[Any], datetime.datetime]]:
    # The lock is a write: the commit waits for the standby even if nothing is changed.
    async with confirmation.of_refusals(engine), database.transaction(engine) as connection:
        row = (await connection.execute(_LOCK, {"schedule_id": schedule_id})).one_or_none()
        if row is None:
            raise errors.ScheduleNotFound.of(schedule_id)
        yield connection, row, (await connection.execute(_NOW)).scalar_one()


@contextlib.asynccontextmanager
async def _locked(
    engine: sqlalchemy_asyncio.AsyncEngine, schedule_id: int
) -> AsyncIterator[tuple[sqlalchemy_asyncio.AsyncConnection, schedule.Schedule, datetime.datetime]]:
    async with _row_locked(engine, schedule_id) as (connection, row, now):
        yield connection, columns.read_schedule(row), now


async def _write(
    connection: sqlalchemy_asyncio.AsyncConnection,
    present: schedule.Schedule,
    updated: schedule.Schedule,
    now: datetime.datetime,
    *,
    change: str,
    actor: str,
    reason: str | None = None,
) -> Changed:
    await connection.execute(_UPDATE, {**_encode(updated), "schedule_id": updated.schedule_id})
    entry = columns.entry(updated.schedule_id, change, reason=reason)
    await columns.log(connection, [entry], actor=actor, at=now)
    changed: Sequence[task.Changed]
    if updated.is_paused:
        changed = await reconcile.withdraw(
            connection, present, now, reason=_IS_PAUSED, error_message=PAUSED, actor=actor
        )
    else:
        changed = (await reconcile.apply(connection, present, updated, now, actor=actor)).tasks
    return Changed(await _read(connection, _GET, updated.schedule_id), changed)


async def _read(
    connection: sqlalchemy_asyncio.AsyncConnection, statement: sa.TextClause, schedule_id: int
) -> schedule.Schedule:
    row = (await connection.execute(statement, {"schedule_id": schedule_id})).one_or_none()
    if row is None:
        raise errors.ScheduleNotFound.of(schedule_id)
    return columns.read_schedule(row)


def _with_requested_retries(new: schedule.NewSchedule) -> schedule.NewSchedule:
    """Returns it with the retries of the request, without its handler's."""
    if new.requested_retries is None:
        return new
    requested = new.requested_retries
    template = dataclasses.replace(new.template, max_retries=requested.max_retries, retry_policy=requested.retry_policy)
    return dataclasses.replace(new, template=template)


def _digest(new: schedule.NewSchedule) -> uuid.UUID:
    """Returns the digest of the request, the same under every time zone database."""
    requested = _encode(_with_requested_retries(new))
    del requested["zone_version"]
    return request_ids.digest({**requested, "catch_up_window": str(new.catch_up_window)})


def _encode(written: schedule.NewSchedule | schedule.Schedule) -> dict[str, Any]:
    return {
        "name": written.name,
        "spec": json.dumps(schedule_json.from_spec(written.spec), ensure_ascii=False),
        "template": json.dumps(schedule_json.from_template(written.template), ensure_ascii=False),
        "overlap": written.overlap,
        "catch_up": written.catch_up,
        "catch_up_window": written.catch_up_window,
        "is_paused": written.is_paused,
        "zone_version": recurrence.version(),
    }
