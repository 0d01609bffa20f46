"""Duetime, broken on purpose: `python -m tests.chaos.breakages NAME duetime_worker` runs a broken worker.

Each breakage removes one thing that a promise depends on. They prove that the checker would detect its loss.
"""

import asyncio
import dataclasses
import datetime
import random
import runpy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, snapshot, task
from duetime_core.model import reconcile as model_reconcile
from duetime_core.postgres import confirmation, namespaced
from duetime_core.postgres import connection as core_connection
from duetime_core.store import leases as task_leases
from duetime_core.store.claiming import fast, rescue, statements
from duetime_core.store.log import feed, histories
from duetime_core.store.schedules import occurrences
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_core.store.tasks import read as task_read
from duetime_server.tasks import creator
from duetime_server.watch import subscription
from duetime_worker import deadlines, lease_guard, leases, runner


def _rewrite(module: Any, name: str, old: str, new: str) -> None:
    text = getattr(module, name).text
    assert old in text, f"{name} has changed; adapt this breakage"
    make = namespaced.text if ":namespace_id" in text else sa.text
    setattr(module, name, make(text.replace(old, new)))


def respond_before_commit() -> None:
    """Responds that a task is created, and commits half a second later."""

    async def create(
        engine: sqlalchemy_asyncio.AsyncEngine, tasks: Sequence[task.NewTask], *, actor: str | list[task_create.Caller]
    ) -> list[task_create.Created | errors.RequestIdTaken]:
        assert isinstance(actor, str)
        session = await engine.execution_options(isolation_level="READ COMMITTED").connect()
        encoded = [task_create._encode(new) for new in tasks]
        answers = await task_create._create(session, encoded, actor)

        async def commit() -> None:
            await asyncio.sleep(0.5)
            await session.commit()
            await session.close()

        committing.append(asyncio.create_task(commit()))
        return answers

    committing: list[asyncio.Task[None]] = []
    task_create.create = create


def claim_early() -> None:
    """Claims tasks half a second before they are due."""
    _rewrite(fast, "_CLAIM", f"ready_at <= {statements.NOW}", "ready_at <= now() + interval '0.5 s'")


def claim_without_guard() -> None:
    """Leaves claimed tasks pending, though not for the next 50 ms, or workers would do nothing else."""
    _rewrite(fast, "_CLAIM", "DELETE FROM waiting", "UPDATE waiting SET ready_at = now() + interval '50 ms'")


def record_without_fence() -> None:
    """Records outcomes of workers that have lost the lease."""
    claim = "leases.lease_id = claim.lease_id AND leases.started_at = claim.started_at"
    lease = f"SELECT FROM leases WHERE {claim}\n            AND worker_id = :worker_id OFFSET 0"
    for name in ("_RECORD", "_RECORD_LOGGED"):
        _rewrite(task_outcomes, name, "AND tasks.version = claimed_version - 1", "")
        _rewrite(task_outcomes, name, f"WHERE EXISTS (\n        {lease}\n    )", "")


def forget_next_occurrences() -> None:
    """Advances schedules, sometimes without creating the next occurrence."""
    insert = occurrences.insert

    async def forgetful(connection: Any, tasks: Any, *, actor: str) -> Any:
        return await insert(connection, [each for each in tasks if random.random() < 0.9], actor=actor)

    occurrences.insert = forgetful


def forget_skips() -> None:
    """Changes schedules without a row in their logs for what the change skips."""
    reconcile = model_reconcile.reconcile

    def silent(*arguments: Any, **keywords: Any) -> model_reconcile.Reconciled:
        return dataclasses.replace(reconcile(*arguments, **keywords), skips=[])

    model_reconcile.reconcile = silent
    model_reconcile.withdraw = lambda *_: []


def forget_cancels() -> None:
    """Responds that a task is cancelled, and does nothing."""

    async def cancel(engine: sqlalchemy_asyncio.AsyncEngine, task_id: int, *, actor: str) -> Any:
        found = await task_read.get(engine, task_id)
        return dataclasses.replace(found, status=task.Status.CANCELLED), found.updated_at

    task_edit.cancel = cancel


def forget_half_of_an_update() -> None:
    """Responds to an update, but writes only its time and not its data."""
    update = task_edit.update

    async def half(engine: Any, task_id: int, changes: Any, **options: Any) -> Any:
        return await update(engine, task_id, {k: v for k, v in changes.items() if k != "task_data"}, **options)

    task_edit.update = half


def forget_request_ids() -> None:
    """Creates a task for every request, and loses some responses, so that callers retry."""
    encode = task_create._encode
    create = creator.Creator.create

    def without(new: task.NewTask) -> dict[str, Any]:
        return encode(dataclasses.replace(new, request_id=None))

    async def unanswered(self: creator.Creator, new: task.NewTask, *, size: int = 0) -> task_create.Created:
        created = await create(self, new, size=size)
        if random.random() < 0.1:
            raise errors.StoreUnavailable
        return created

    task_create._encode = without
    creator.Creator.create = unanswered  # type: ignore[method-assign]


def drop_changes() -> None:
    """Drops some changes from watches."""
    offer = subscription.Watch.offer

    def sometimes(self: subscription.Watch, entry: Any) -> None:
        if random.random() < 0.95:
            offer(self, entry)

    subscription.Watch.offer = sometimes  # type: ignore[method-assign]


def forget_leaving() -> None:
    """Sends watches what matches their filters after the change, and not that a task has left."""
    matches = subscription.matches

    def after(wanted: Any, entry: Any) -> bool:
        log = dataclasses.replace(entry.log, previous_queue=None, previous_name=None)
        return matches(wanted, dataclasses.replace(entry, log=log))

    subscription.matches = after


def trust_positions() -> None:
    """Reads the feed from positions of earlier histories, as if no id of a transaction were given again."""

    async def carry_over(connection: Any, position: Any) -> Any:
        found = (await connection.execute(sa.text(f"SELECT {histories.PRESENT}"))).scalar_one()
        return dataclasses.replace(position, history=found)

    histories.carry_over = carry_over
    feed._require_readable = lambda *_: None


def count_rollbacks() -> None:
    """Counts transactions as read whose ids a crash of PostgreSQL gives again."""
    snapshot.Snapshot.below = lambda self, xid: self  # type: ignore[method-assign]


def wait_for_silent_connections() -> None:
    """Waits for responses as long whatever the lease is."""

    def of(lease: datetime.timedelta) -> deadlines.Deadlines:
        return deadlines.Deadlines(
            extend_every=lease.total_seconds() / 3,
            extension=core_connection.ANSWER_SECONDS,
            answer=core_connection.ANSWER_SECONDS,
        )

    deadlines.Deadlines.of = of  # type: ignore[method-assign]


def cancel_what_hangs() -> None:
    """Cancels statements whose callers hang up, which ends a commit's wait for its standby, and confirms nothing."""

    async def write(connection: Any) -> None:
        pass

    core_connection.Connection.cancel_safe = psycopg.AsyncConnection.cancel_safe  # type: ignore[method-assign]
    confirmation.write = write


def reclaim_valid_leases() -> None:
    """Reclaims tasks whose leases have not expired."""
    _rewrite(rescue, "_RECLAIM", "coalesce(CAST(:before AS timestamptz), now())", "now() + interval '1 hour'")


def wait_for_locked_tasks() -> None:
    """Has batches of outcomes wait for tasks that another session has locked, and extensions lock all tasks."""
    for name in ("_RECORD", "_RECORD_LOGGED"):
        _rewrite(task_outcomes, name, "SKIP LOCKED", "")
    locked = """locked AS MATERIALIZED (
        SELECT task_id FROM tasks WHERE task_id = ANY(ARRAY(
            SELECT unnest(task_ids) FROM leases WHERE lease_id = ANY(CAST(:lease_ids AS bigint[]))
        )) ORDER BY task_id FOR UPDATE
    ), held AS"""
    _rewrite(task_leases, "_EXTEND", "held AS", locked)
    _rewrite(task_leases, "_EXTEND", "AND worker_id =", "AND (SELECT count(*) FROM locked) >= 0 AND worker_id =")


def reclaim_nothing() -> None:
    """Never reclaims a task of a lost worker."""

    async def reclaim(*_: Any, **__: Any) -> list[int]:
        return []

    rescue.reclaim = reclaim


def ignore_outages() -> None:
    """Reclaims tasks as soon as the database has recovered, before a slow lease keeper has extended their leases."""
    leases._RETRY_SECONDS = 30
    lease_guard.LeaseGuard.is_long_enough = lambda self, now: True  # type: ignore[method-assign]


def trust_the_clock() -> None:
    """Reclaims tasks when the database's clock has passed the end of their leases, also if it was set."""

    lease_guard.LeaseGuard.is_long_enough = lambda self, now: True  # type: ignore[method-assign]


def poll_only_on_wakeups() -> None:
    """Polls only after wakeups and timers, and never in the sweep."""
    runner.Runner.poll_all = lambda self: None  # type: ignore[method-assign]


ALL: dict[str, Callable[[], None]] = {
    breakage.__name__: breakage
    for breakage in (
        respond_before_commit,
        claim_early,
        claim_without_guard,
        record_without_fence,
        forget_cancels,
        forget_half_of_an_update,
        forget_request_ids,
        drop_changes,
        forget_leaving,
        trust_positions,
        cancel_what_hangs,
        count_rollbacks,
        wait_for_silent_connections,
        reclaim_valid_leases,
        reclaim_nothing,
        wait_for_locked_tasks,
        poll_only_on_wakeups,
        ignore_outages,
        trust_the_clock,
        forget_next_occurrences,
        forget_skips,
    )
}

if __name__ == "__main__":
    _, name, module = sys.argv
    ALL[name]()
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
