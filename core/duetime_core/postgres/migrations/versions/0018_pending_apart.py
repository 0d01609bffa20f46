"""Pending tasks and leases in tables of their own, and finished tasks in partitions by when they ended.

`prepare` makes a copy of all tasks beside the table, in the form of the new tables; triggers bring each change into it
while servers and workers of the release before still run. The migration itself writes leases of running tasks, and
puts the copy in the place of the table.
"""

import sqlalchemy as sa
import structlog
from alembic import op

from duetime_core.postgres import table_locks
from duetime_core.postgres.migrations.pending_apart import copying, reversal, switch, tables

revision = "0018"
down_revision = "0017"
locks = ("tasks",)
stops = True

_BATCH = {"limit": 1_000, "bytes": 16 * 1024 * 1024}
"""How many tasks, and how much of their data, one statement copies. It locks them meanwhile, for some 50 ms."""
_PAUSE_SECONDS = 0.1
_log = structlog.get_logger()

_HAS_TABLES = sa.text("SELECT to_regclass('copying') IS NOT NULL")
_STATE = sa.text("SELECT upto, until, is_compared FROM copying")
_SET_COMPARED = sa.text("UPDATE copying SET is_compared = true")


def prepare() -> None:
    """Copies the tasks, while others read and write. Interrupted, it continues where it stopped."""
    connection = op.get_bind()
    if not connection.execute(_HAS_TABLES).scalar_one():
        op.execute(tables.CREATE)
    state = connection.execute(_STATE).one()
    if state.until is None:
        with table_locks.limited(connection):  # a trigger waits for those who write, and others behind it
            op.execute(copying.CREATE_TRIGGERS)
        state = connection.execute(_STATE).one()
    if state.is_compared:
        return
    _copy(connection, state.upto, state.until)
    op.execute("ANALYZE live_tasks, waiting, ended_tasks, request_ids, nominal_times")
    different = connection.execute(copying.COMPARE).scalar_one()
    if different:
        raise RuntimeError(f"{different} tasks differ from their copies: nothing was changed, keep the present release")
    connection.execute(_SET_COMPARED)
    _log.info("tasks copied and compared", upto=state.until)


def _copy(connection: sa.Connection, upto: int, until: int) -> None:
    """Copies the tasks with ids above `upto`; those above `until` were written by the trigger."""
    while upto < until:
        page = connection.execute(copying.COPY, {"after": upto, "until": until, **_BATCH}).one()
        if page.locked:  # by sessions that may not change them: the trigger does not copy those
            connection.execute(sa.text("SELECT pg_sleep(:seconds)"), {"seconds": _PAUSE_SECONDS})
        else:
            upto = page.upto
            _log.info("tasks copied", upto=upto, until=until)


def upgrade() -> None:
    """Applies it: rows of running tasks alone are written, and the old table with its finished tasks is dropped."""
    op.execute(switch.SWITCH)


def downgrade() -> None:
    """Reverts it: all tasks are copied back, in one transaction."""
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(reversal.REVERT)
