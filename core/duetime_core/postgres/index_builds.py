"""Indexes of tables that may be large, built while others read and write them: for `prepare` of a migration."""

import sqlalchemy as sa
import structlog
from alembic import op

from duetime_core.postgres import table_locks

_log = structlog.get_logger()

_IS_VALID = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
_IS_PARTITIONED = sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = CAST(:table AS regclass)")
_PARTITIONS = sa.text("""
SELECT relid::text FROM pg_partition_tree(CAST(:table AS regclass)) WHERE isleaf ORDER BY relid::text
""")
_IS_ATTACHED = sa.text("SELECT relispartition FROM pg_class WHERE oid = CAST(:name AS regclass)")


def build(name: str, table: str, definition: str, *, unique: bool = False) -> None:
    """Builds an index; `definition` is what SQL has after the table: its columns, and WHERE if it is partial.

    One that is there stays; one that an interrupted build left invalid is built again. It waits for transactions that
    began before it, but blocks neither reads nor writes.
    """
    if op.get_bind().execute(_IS_PARTITIONED, {"table": table}).scalar_one():
        _build_partitioned(name, table, definition)
    else:
        _build(name, table, definition, unique=unique)


def drop(name: str) -> None:
    """Drops an index, if it is there. It waits for transactions that use its table, but blocks none."""
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def _build(name: str, table: str, definition: str, *, unique: bool) -> None:
    is_valid = op.get_bind().execute(_IS_VALID, {"name": name}).scalar()
    if is_valid:
        return
    if is_valid is False:
        _log.info("invalid index dropped", index=name, table=table)
        drop(name)
    _log.info(
        "building index", index=name, table=table, waits_for=table_locks.older_transactions(op.get_bind()) or "nothing"
    )
    op.execute(f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name} ON {table} {definition}")
    _log.info("index built", index=name, table=table)


def _build_partitioned(name: str, table: str, definition: str) -> None:
    # PostgreSQL builds none concurrently on a partitioned table: it becomes valid with its last partition's index.
    connection = op.get_bind()
    with table_locks.limited(connection):
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {table} {definition}")
    for partition in connection.execute(_PARTITIONS, {"table": table}).scalars().all():
        of_partition = f"{partition}_{name}"
        _build(of_partition, partition, definition, unique=False)
        if not connection.execute(_IS_ATTACHED, {"name": of_partition}).scalar_one():
            with table_locks.limited(connection):
                op.execute(f"ALTER INDEX {name} ATTACH PARTITION {of_partition}")
