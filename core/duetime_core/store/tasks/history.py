"""The partitions of `ended_tasks`, by when tasks ended: created before they are needed, and dropped whole.

A partition spans a sixteenth of the retention, in whole days, so that about eighteen exist: a look-up by id reads each.
"""

import datetime
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors
from duetime_core.postgres import database, partition_changes

BATCH = 1_000
"""How many tasks one statement reads at most."""
LARGE_BATCH = 50
"""How many of them with large task_data: more than 12 MB might time out on a slow disk, and again each time."""
DEFAULT_RETENTION = datetime.timedelta(days=30)
_AHEAD = 2
_SHARE = 16

_NAME = '"ended_tasks_d"YYYYMMDD'
# As for the log: attaching a table of its own blocks no write. Where the default partition has rows of the time
# already, as after a pause of all workers, it keeps them.
_CREATE = sa.text(f"""
DO $$
DECLARE
    days int := current_setting('duetime.days')::int;
    begins date;
    partition text;
BEGIN
    FOR ahead IN -current_setting('duetime.behind')::int..{_AHEAD} LOOP
        -- The same days wherever it is computed: from the epoch on.
        begins := date 'epoch' + ((now()::date - date 'epoch') / days + ahead) * days;
        partition := to_char(begins, '{_NAME}');
        IF to_regclass(partition) IS NULL THEN
            BEGIN
                EXECUTE format(
                    'CREATE TABLE %I (LIKE ended_tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
                    partition);
                EXECUTE format('ALTER TABLE ended_tasks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    partition, begins, begins + days);
            EXCEPTION WHEN check_violation OR invalid_object_definition THEN
                -- A partition that was created with another retention spans it.
                NULL;
            END;
        END IF;
    END LOOP;
END $$
""")
_SPANS = sa.text("SELECT set_config('duetime.days', :days, true), set_config('duetime.behind', :behind, true)")
# The bounds are read, not guessed from the name: the retention may have been another one.
_OLDEST = sa.text("""
SELECT relname FROM (
    SELECT relname, substring(pg_get_expr(relpartbound, pg_class.oid) FROM 'TO \\(''([^'']+)''\\)') AS ends
    FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = CAST('ended_tasks' AS regclass)
) AS partitions
WHERE ends IS NOT NULL AND CAST(ends AS timestamptz) <= now() - CAST(:keep AS interval)
ORDER BY CAST(ends AS timestamptz) LIMIT 1
""")
# A time that is still to come stays taken: a caller refused it. So does the next one, from which its schedule advances.
_IS_OVER = """nominal_times.nominal_time < now() AND NOT EXISTS (
        SELECT FROM schedules
        WHERE schedules.schedule_id = nominal_times.schedule_id AND next_nominal_time = nominal_times.nominal_time
    )"""
_IS_LARGE = "task_data IS NULL AS is_large"


def _few(page: str) -> str:
    """Returns the rows of a page, by task_id, up to the first one of which too many are large."""
    return f"""SELECT * FROM (
        SELECT *, count(*) FILTER (WHERE is_large) OVER (ORDER BY task_id) AS large_ones FROM ({page}) AS page
    ) AS counted WHERE large_ones <= :large_limit"""


def _free(forgotten: str) -> str:
    """Returns the CTEs that free the request ids and nominal times of the rows of the CTE `forgotten`."""
    return f"""requests AS (
        DELETE FROM request_ids USING {forgotten}
        WHERE request_ids.namespace_id = {forgotten}.namespace_id
            AND request_ids.request_id = {forgotten}.request_id AND request_ids.task_id = {forgotten}.task_id
    ), times AS (
        DELETE FROM nominal_times USING {forgotten}
        WHERE nominal_times.schedule_id = {forgotten}.schedule_id
            AND nominal_times.nominal_time = {forgotten}.nominal_time
            AND nominal_times.task_id = {forgotten}.task_id
            AND {_IS_OVER}
    )"""


_DELETE_STRAYS = sa.text(f"""
WITH expired AS MATERIALIZED ({
    _few(f'''
        SELECT task_id, ended_at, {_IS_LARGE} FROM ended_tasks_default
        WHERE task_id > :after AND ended_at < now() - CAST(:keep AS interval)
        ORDER BY task_id LIMIT :limit FOR UPDATE SKIP LOCKED
    ''')
}), deleted AS (
    DELETE FROM ended_tasks_default USING expired
    WHERE ended_tasks_default.task_id = expired.task_id AND ended_tasks_default.ended_at = expired.ended_at
    RETURNING ended_tasks_default.task_id, request_id, schedule_id, nominal_time, is_large, namespace_id
), contents AS (
    DELETE FROM payloads WHERE task_id = ANY(ARRAY(SELECT task_id FROM deleted WHERE is_large))
), {_free("deleted")}
SELECT count(*) AS tasks, max(task_id) AS last_id, 0 AS locked FROM deleted
""")


def _forget(partition: str) -> sa.TextClause:
    # What is unique among all tasks is free again. A retried task keeps its own: it is no longer in the partition.
    # Tasks whose task_data is in `payloads` are deleted together with it: a caller who still finds such a task finds
    # all of it, and a retry either comes before, and keeps both, or finds neither.
    return sa.text(f"""
    WITH page AS MATERIALIZED ({
        _few(f'''
            SELECT task_id, request_id, schedule_id, nominal_time, {_IS_LARGE}, namespace_id FROM {partition}
            WHERE task_id > :after ORDER BY task_id LIMIT :limit
        ''')
    }), large AS MATERIALIZED (
        SELECT task_id, ended_at FROM {partition} AS ended
        WHERE task_id = ANY(ARRAY(SELECT task_id FROM page WHERE is_large)) ORDER BY task_id FOR UPDATE SKIP LOCKED
    ), deleted AS (
        DELETE FROM {partition} AS ended USING large
        WHERE ended.task_id = large.task_id AND ended.ended_at = large.ended_at RETURNING ended.task_id
    ), contents AS (
        DELETE FROM payloads WHERE task_id = ANY(ARRAY(SELECT task_id FROM deleted))
    ), {_free("page")}
    SELECT count(*) AS tasks, max(task_id) AS last_id,
        count(*) FILTER (WHERE is_large) - (SELECT count(*) FROM deleted) AS locked
    FROM page
    """)


async def create_ahead(
    engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta, *, past: datetime.timedelta | None = None
) -> None:
    """Creates the partitions of now and the next spans, and with `past`, as benchmarks need, of the spans since then.

    Raises LogBusy if another transaction holds a lock.
    """
    days = max(1, -(-keep.days // _SHARE))
    behind = 0 if past is None else -(-past.days // days)
    async with partition_changes.begin(engine) as connection:
        await connection.execute(_SPANS, {"days": str(days), "behind": str(behind)})
        await connection.execute(_CREATE)


async def drop_oldest(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> AsyncIterator[int]:
    """Drops the oldest partition that is wholly older than `keep`, if there is one; yields its tasks by batches.

    Interrupted, it begins that partition again. Raises LogBusy if another transaction holds a lock.
    """
    with database.unavailable():
        async with engine.connect() as connection:
            name = (await connection.execute(_OLDEST, {"keep": keep})).scalar()
    if name is None:
        return
    async for count in _walk(engine, _forget(name), {}):
        yield count
    async with partition_changes.begin(engine) as connection:
        await connection.execute(
            sa.text(f"LOCK TABLE {name}, ended_tasks_default, ONLY ended_tasks IN ACCESS EXCLUSIVE MODE")
        )
        await connection.execute(sa.text(f"DROP TABLE {name}"))


async def delete_strays(engine: sqlalchemy_asyncio.AsyncEngine, keep: datetime.timedelta) -> AsyncIterator[int]:
    """Deletes tasks of the default partition that ended before `keep`; yields how many each batch deleted."""
    async for count in _walk(engine, _DELETE_STRAYS, {"keep": keep}):
        yield count


async def _walk(
    engine: sqlalchemy_asyncio.AsyncEngine, statement: sa.TextClause, parameters: dict[str, Any]
) -> AsyncIterator[int]:
    """Executes a statement for one batch after another, by task_id; yields how many tasks each had.

    Raises LogBusy if another transaction holds a task that has to be deleted.
    """
    after, count = 0, 1
    while count:
        given = {**parameters, "after": after, "limit": BATCH, "large_limit": LARGE_BATCH}
        with database.unavailable():
            async with engine.connect() as connection:
                batch = (await connection.execute(statement, given)).one()
        if batch.locked:
            raise errors.LogBusy
        after, count = batch.last_id, batch.tasks
        yield count
