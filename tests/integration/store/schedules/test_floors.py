"""Due schedules and next tasks are read from floors on, past all that advanced under an old snapshot."""

import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import namespace, schedule, task
from duetime_core.postgres import database
from duetime_core.store.claiming import bounds, fast, locked
from duetime_core.store.queues import read as queue_read
from duetime_core.store.schedules import advance as schedule_advance
from duetime_core.store.schedules import candidates, floors, next_locks
from duetime_core.store.schedules import edit as schedule_edit
from duetime_core.store.tasks import explain
from tests.integration.store.schedules import test_schedule_claims
from tests.support import backlogs, factories, invariants, plans

Engine = sqlalchemy_asyncio.AsyncEngine

SCHEDULES = 3_000
ROUNDS = 20
WAITING = 5
_HOUR_AGO = "now() - interval '1 hour'"
_TEMPLATE = '\'{"name": "noop", "queue": "default"}\''
_CREATE = f"""
INSERT INTO schedules (name, spec, template, overlap, catch_up, last_nominal_time, zone_version, advance_at)
SELECT 'schedule', '{{}}', {_TEMPLATE}, 'allow', 'last', now(), '2026a', now() + interval '1 hour'
FROM generate_series(1, {SCHEDULES}) AS n
"""
_NEXT = backlogs.made(
    f"(SELECT schedule_id, random() AS r FROM schedules WHERE schedule_id > {WAITING}) AS of",
    execution_time=f"{_HOUR_AGO} + r * interval '50 minutes'",
    schedule_id="schedule_id",
    is_next="true",
)
_ADVANCE = [
    f"DELETE FROM waiting WHERE is_next AND schedule_id > {WAITING}",
    "DELETE FROM tasks WHERE NOT EXISTS (SELECT FROM waiting WHERE waiting.task_id = tasks.task_id)",
    f"WITH {_NEXT} SELECT count(*) FROM made",
    f"UPDATE schedules SET advance_at = {_HOUR_AGO} + random() * interval '50 minutes' WHERE schedule_id > {WAITING}",
]


async def execute(engine: Engine, *statements: str) -> None:
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        for statement in statements:
            await connection.execute(sa.text(statement))


async def come(engine: Engine, after: str) -> None:
    """Moves all that does not wait there."""
    later = f"now() + interval '{after}'"
    await execute(
        engine,
        f"UPDATE waiting SET ready_at = {later} WHERE is_next AND schedule_id > {WAITING}",
        f"UPDATE schedules SET advance_at = {later} WHERE schedule_id > {WAITING}",
        "ANALYZE",
    )


async def create(engine: Engine) -> None:
    """Creates schedules, of which the next occurrences of a few wait since an hour ago."""
    waiting = backlogs.made(
        f"schedules WHERE schedule_id <= {WAITING}",
        execution_time=_HOUR_AGO,
        schedule_id="schedule_id",
        is_next="true",
    )
    await execute(engine, _CREATE, f"WITH {waiting} SELECT count(*) FROM made")


async def note(engine: Engine, noting: floors.Floors, clock: list[float]) -> None:
    """Notes the floors, as a worker does after it advanced schedules."""
    clock[0] += 60
    noting.advanced([(namespace.DEFAULT, task.DEFAULT_QUEUE)])
    await noting.note(engine)


async def looks(engine: Engine) -> dict[str, int]:
    newest, task_id = candidates._NEWEST
    queue = {"queue": task.DEFAULT_QUEUE}
    claim = {**queue, "worker_id": "worker", "limit": 100, "lease": factories.LEASE, **bounds.Bounds().parameters}
    moved = {"queues": [task.DEFAULT_QUEUE], "before": [newest], "before_ids": [task_id], "limit": candidates.PAGE}
    found: dict[str, tuple[sa.TextClause, dict[str, Any]]] = {
        "a queue": (queue_read._GET, queue),
        "a page of queues": (queue_read._LIST, {"after": "", "limit": 51}),
        "names of queues": (queue_read._NAMES, {"after": "", "limit": 1000}),
        "may a queue change": (queue_read._MAY_CHANGE, queue),
        "moved tasks": (candidates._MOVED, moved),
        "due schedules": (schedule_advance._LOCK_OLDEST, {"limit": 200}),
        "due schedules, newest first": (schedule_advance._LOCK_NEWEST, {"limit": 200}),
        "the next due schedule": (schedule_advance._NEXT_AT, {}),
        "a claim by a new worker": (fast._CLAIM, claim),
        "a claim by keys": (locked._CLAIM_PICKED, {**claim, "task_ids": [], "keys": []}),
        "a limited queue": (locked._TASKS.claim, claim),
        "an explanation": (explain._READ, {"task_id": 1}),
    }
    return await plans.blocks(engine, found)


@pytest.mark.usefixtures("held_snapshot")
async def test_queues_advancing_and_claims_read_as_much_after_many_occurrences_advanced_under_an_old_snapshot(
    engine: Engine,
) -> None:
    await create(engine)
    clock = [0.0]
    noting = floors.Floors([task.DEFAULT_QUEUE], lambda: clock[0])
    await execute(engine, *_ADVANCE)
    await come(engine, "2 hours")
    await note(engine, noting, clock)
    before = await looks(engine)
    for _ in range(ROUNDS):
        await execute(engine, *_ADVANCE)
    await come(engine, "1 hour")
    await note(engine, noting, clock)
    after = await looks(engine)
    for name, count in before.items():
        assert after[name] <= 2 * count + 50, (name, before, after)


@pytest.mark.usefixtures("held_snapshot")
async def test_a_next_task_is_found_as_fast_after_many_of_its_schedule_under_an_old_snapshot(engine: Engine) -> None:
    made = await factories.create_schedule(engine)
    mine = f"schedule_id = {made.schedule_id}"
    one = f"""
        INSERT INTO waiting (task_id, queue, ready_at, version, level, is_next, schedule_id)
        VALUES (-n, 'default', now(), 1, 0, true, {made.schedule_id});
        DELETE FROM waiting WHERE task_id = -n
    """

    async def looks_after(advanced: int) -> dict[str, int]:
        await execute(
            engine,
            f"UPDATE waiting SET is_next = false WHERE {mine}",
            f"DO $$ BEGIN FOR n IN 1..{advanced} LOOP {one}; END LOOP; END $$",
            f"UPDATE waiting SET is_next = true WHERE {mine}",
            "ANALYZE waiting",
        )
        locked = {"schedule_ids": [made.schedule_id], "nominal_times": [made.next_time], "overlaps": ["allow"]}
        statements: dict[str, tuple[sa.TextClause, dict[str, Any]]] = {
            "advancing": (next_locks.LOCK, locked),
            "reading": (schedule_edit._GET, {"schedule_id": made.schedule_id}),
        }
        return await plans.blocks(engine, statements)

    before = await looks_after(10)
    for _ in range(4):
        after = await looks_after(1_000)
    for name, count in before.items():
        assert after[name] <= count + 25, (name, before, after)


async def test_occurrences_that_wait_for_long_stay_counted(engine: Engine) -> None:
    await create(engine)
    clock = [0.0]
    noting = floors.Floors([task.DEFAULT_QUEUE], lambda: clock[0])
    before = await queue_read.get(engine, task.DEFAULT_QUEUE)
    assert before.depth == WAITING
    for _ in range(2):
        await note(engine, noting, clock)
        assert await queue_read.get(engine, task.DEFAULT_QUEUE) == before
    assert await invariants.value(engine, "SELECT ready_at > now() - interval '3 minutes' FROM next_floors")


async def moved(engine: Engine) -> list[int]:
    return (await candidates.moved(engine, [task.DEFAULT_QUEUE], {}))[0]


async def test_what_was_committed_behind_the_floors_is_found(engine: Engine) -> None:
    clock = [0.0]
    noting = floors.Floors([task.DEFAULT_QUEUE], lambda: clock[0])
    due, forward = [await factories.create_schedule(engine) for _ in range(2)]
    await note(engine, noting, clock)
    await execute(
        engine,
        f"UPDATE schedules SET advance_at = {_HOUR_AGO} WHERE schedule_id = {due.schedule_id}",
        f"UPDATE waiting SET ready_at = {_HOUR_AGO} WHERE schedule_id = {forward.schedule_id}",
        f"UPDATE tasks SET execution_time = {_HOUR_AGO} WHERE schedule_id = {forward.schedule_id}",
    )
    assert (await schedule_advance.turn(engine, actor="worker")).count == 0
    assert await moved(engine) == []
    await note(engine, noting, clock)
    assert await moved(engine) == [forward.schedule_id]
    assert (await schedule_advance.turn(engine, actor="worker")).count == 1


async def test_floors_are_lowered_once_the_clock_was_set_back(engine: Engine) -> None:
    clock = [0.0]
    noting = floors.Floors([task.DEFAULT_QUEUE], lambda: clock[0])
    made = await factories.create_schedule(engine)
    await execute(
        engine,
        "INSERT INTO next_floors VALUES ('default', now() + interval '1 day')",
        "INSERT INTO advance_floor VALUES (now() + interval '1 day')",
        "UPDATE schedules SET advance_at = now()",
        "UPDATE waiting SET ready_at = now()",
        "UPDATE tasks SET execution_time = now()",
    )
    assert (await queue_read.get(engine, task.DEFAULT_QUEUE)).depth == 1
    assert await moved(engine) == [made.schedule_id]
    clock[0] += 60
    await noting.note(engine)
    lowered = (
        "SELECT (SELECT max(ready_at) FROM next_floors) < now() AND (SELECT max(advance_at) FROM advance_floor) < now()"
    )
    assert await invariants.value(engine, lowered)
    assert (await schedule_advance.turn(engine, actor="worker")).count == 1


async def test_a_floor_that_takes_too_long_to_find_is_the_present_and_waiting_tasks_before_it_are_found(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    noting = floors.Floors([task.DEFAULT_QUEUE], lambda: clock[0])
    await create(engine)
    within_time = floors._within_time

    async def slow(engine: Engine, parameters: dict[str, Any], *statements: sa.TextClause) -> bool:
        is_blind = statements[0] in (floors._NEXT.raise_blindly, floors._DUE.raise_blindly)
        return is_blind and await within_time(engine, parameters, *statements)

    monkeypatch.setattr(floors, "_within_time", slow)
    await note(engine, noting, clock)
    assert await queue_read.find(engine, task.DEFAULT_QUEUE) is None
    monkeypatch.setattr(floors, "_within_time", within_time)
    await note(engine, noting, clock)
    assert (await queue_read.get(engine, task.DEFAULT_QUEUE)).depth == WAITING


async def test_queues_where_nothing_advances_any_more_are_not_read_again(engine: Engine) -> None:
    clock = [0.0]
    noting = floors.Floors([task.DEFAULT_QUEUE], lambda: clock[0])
    others = [f"queue {number}" for number in range(20)]
    noting.advanced((namespace.DEFAULT, queue) for queue in others)
    statements: list[str] = []
    sa.event.listen(engine.sync_engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    counts = []
    for _ in range(3):
        statements.clear()
        clock[0] += 61
        await noting.note(engine)
        noting.advanced([(namespace.DEFAULT, "queue 1")])
        counts.append(len(statements))
    assert counts[0] > counts[1] > len(others)
    assert counts[2] < len(others)
    assert await invariants.value(engine, "SELECT count(*) FROM next_floors") == len(others)


async def test_a_floor_that_another_session_locks_keeps_no_other_queue_from_being_noted(engine: Engine) -> None:
    clock = [0.0]
    noting = floors.Floors(["first", "second"], lambda: clock[0])
    await execute(engine, "INSERT INTO next_floors SELECT unnest(ARRAY['first', 'second']), '2026-01-01'")
    for held, other in (("first", "second"), ("second", "first")):
        await execute(engine, "UPDATE next_floors SET ready_at = '2026-01-01'")
        clock[0] += 60
        noting.advanced((namespace.DEFAULT, queue) for queue in ("first", "second"))
        async with database.transaction(engine) as connection:
            await connection.execute(sa.text(f"SELECT FROM next_floors WHERE queue = '{held}' FOR UPDATE"))
            await noting.note(engine)
        assert await invariants.value(
            engine, f"SELECT ready_at > now() - interval '1 hour' FROM next_floors WHERE queue = '{other}'"
        )


async def test_a_schedule_far_behind_catches_up_from_the_floor(engine: Engine) -> None:
    clock = [0.0]
    noting = floors.Floors([task.DEFAULT_QUEUE], lambda: clock[0])
    made = await factories.create_schedule(
        engine, spec={"interval": datetime.timedelta(minutes=10)}, catch_up=schedule.CatchUp.ALL
    )
    await note(engine, noting, clock)
    await test_schedule_claims.shift(engine, datetime.timedelta(hours=5))
    await schedule_advance.turn(engine, actor="worker", schedule_ids=[made.schedule_id])
    while (await schedule_advance.turn(engine, actor="worker")).count:
        pass
    caught_up = (await schedule_edit.get(engine, made.schedule_id)).next_time
    assert caught_up is not None
    assert caught_up > datetime.datetime.now(datetime.UTC)
