"""The page of a list of tasks: which tasks, in which order, and the SQL that reads it through an index."""

import dataclasses
import datetime
import functools
from collections.abc import Collection, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from duetime_core.model import task
from duetime_core.postgres import schema
from duetime_core.store.tasks import columns as task_columns

Order = Literal["execution_time", "execution_time desc", "task_id", "task_id desc"]


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """Which tasks; empty fields and None match all. `due_from` is inclusive, `due_before` exclusive."""

    statuses: tuple[task.Status, ...] = ()
    queue: str | None = None
    name: str | None = None
    due_from: datetime.datetime | None = None
    due_before: datetime.datetime | None = None
    schedule_id: int | None = None
    concurrency_key: str | None = None
    request_id: str | None = None
    name_prefix: str | None = None


MAX_PAGE_BYTES = 1_000_000
"""A page ends with the task whose JSON reaches this size. A thousand tasks of the maximum size would be 500 MB, and ten
times that as objects."""

_CONDITIONS = {
    "queue": "queue = :queue",
    "name": "name = :name",
    "due_from": "{time} >= :due_from",
    "due_before": "{time} < :due_before",
    "schedule_id": "schedule_id = :schedule_id",
    "concurrency_key": "concurrency_key = :concurrency_key",
    "request_id": "request_id = :request_id",
    "name_prefix": "starts_with(name, :name_prefix)",
}
"""By the field of a filter; {time} is the execution_time as the index of a part has it."""
_WITH_OWN_INDEX = {"schedule_id", "concurrency_key"}
"""The filters with an index of all matching tasks except running ones, in an order that no other index of them has."""
# The names with a prefix, each found by one lookup in the index of names, in the order of their bytes: there the first
# name with another beginning ends the search.
_NAMES = f"""
    WITH RECURSIVE names AS (
        (SELECT name FROM tasks WHERE {schema.NOT_RUNNING} AND name ~>=~ :name_prefix ORDER BY name USING ~<~ LIMIT 1)
        UNION ALL
        SELECT (
            SELECT name FROM tasks WHERE {schema.NOT_RUNNING} AND name ~>~ before.name ORDER BY name USING ~<~ LIMIT 1
        )
        FROM names AS before WHERE starts_with(before.name, :name_prefix)
    )
    SELECT name AS wanted_name FROM names WHERE starts_with(name, :name_prefix)
"""

MAX_NAMES = 1_000
"""How many names may begin with a prefix: of each, up to a page of tasks is read and sorted."""
COUNT_NAMES = sa.text(f"SELECT count(*) FROM (SELECT FROM ({_NAMES}) AS names LIMIT {MAX_NAMES + 1}) AS found")
"""Counts the names with a prefix, up to one more than allowed."""


def searches_names(wanted: Filter, order: Order) -> bool:
    """Returns whether a list finds its tasks by the names that begin with a prefix."""
    fields = [field for field in _CONDITIONS if getattr(wanted, field) is not None]
    return order.startswith("execution_time") and _searches_names(fields)


def list_statement(
    wanted: Filter, *, order: Order, after: tuple[datetime.datetime, int] | None
) -> tuple[sa.TextClause, dict[str, Any]]:
    """Returns the statement of a list and its parameters, without `limit`."""
    parameters = {field: value for field in _CONDITIONS if (value := getattr(wanted, field)) is not None}
    statement = _list(wanted.statuses, tuple(parameters), order, is_first=after is None)
    if after is not None:
        parameters["after_time"], parameters["after_id"] = after
    return statement, parameters


def page_statement(wanted: Filter, *, after: tuple[datetime.datetime, int] | None) -> tuple[str, dict[str, Any]]:
    """Returns the SQL of a page of the matching tasks, in the order of their execution_time, and its parameters.

    Its rows have task_id and execution_time of at most `limit` tasks after the (execution_time, task_id) `after`.
    """
    parameters = {field: value for field in _CONDITIONS if (value := getattr(wanted, field)) is not None}
    page, _ = _page("task_id, execution_time", wanted.statuses, tuple(parameters), "execution_time", after is None)
    if after is not None:
        parameters["after_time"], parameters["after_id"] = after
    return page, parameters


@functools.lru_cache(maxsize=256)
def _list(statuses: tuple[task.Status, ...], fields: tuple[str, ...], order: Order, *, is_first: bool) -> sa.TextClause:
    return sa.text(_cut_by_size(*_page(task_columns.TASK_COLUMNS, statuses, fields, order, is_first)))


def _page(
    columns: str, statuses: tuple[task.Status, ...], fields: tuple[str, ...], order: Order, is_first: bool
) -> tuple[str, str]:
    """Returns the SQL of a page, and its ordering."""
    column, _, descending = order.partition(" ")
    direction, beyond = ("DESC", "<") if descending else ("ASC", ">")
    conditions = ["deleted_at IS NULL", *(_CONDITIONS[field] for field in fields)]
    if column == "task_id":
        ordering = f"task_id {direction}"
        position = f"task_id {beyond} :after_id"
    else:
        ordering = f"{{time}} {direction}, task_id {direction}"
        position = f"({{time}}, task_id) {beyond} (:after_time, :after_id)"
    if not is_first:
        conditions.append(position)
    if "request_id" in fields or (column == "task_id" and _WITH_OWN_INDEX.isdisjoint(fields)):
        parts = [(_is_one_of(statuses) if statuses else "true", "execution_time")]
    else:
        parts = _parts(frozenset(statuses or task.Status), fields)
    selects = [f"({_select(columns, [which, *conditions], ordering, time)})" for which, time in parts]
    if column != "task_id" and _searches_names(fields):
        selects += _select_by_names(columns, statuses, conditions, ordering)
    ordering = ordering.format(time="execution_time")
    return f"SELECT * FROM ({' UNION ALL '.join(selects)}) AS merged ORDER BY {ordering} LIMIT :limit", ordering


def _parts(statuses: frozenset[task.Status], fields: Collection[str]) -> list[tuple[str, str]]:
    """Splits tasks of these statuses by the index that has them in the order of execution.

    Returns the condition of each part, and the execution_time as that index has it.
    """
    parts: list[tuple[str, str]] = []
    others = set(statuses)
    if task.Status.RUNNING in statuses:
        # At most as many as the workers have slots: they are sorted.
        others.remove(task.Status.RUNNING)
        parts.append((_is_one_of([task.Status.RUNNING]), "execution_time"))
    if not _WITH_OWN_INDEX.isdisjoint(fields):
        return [*parts, (_is_one_of(others), schema.DUE_AT)] if others else parts
    if _searches_names(fields):
        return parts
    if task.Status.PENDING in statuses and "queue" in fields:
        others.remove(task.Status.PENDING)
        parts += [(schema.ORDINARY, schema.DUE_AT), (f"{schema.NOT_QUARANTINED} AND is_next", schema.DUE_AT)]
        levels = range(1, task.MAX_PRIORITY + 1)
        parts += [(f"{schema.URGENT} AND priority = {level}", schema.DUE_AT) for level in levels]
        parts.append((schema.QUARANTINED, schema.DUE_AT))
    if others and {"queue", "name"} & set(fields):
        parts.append((_is_one_of(others), "execution_time"))
    else:
        parts += [(_is_one_of([status]), "execution_time") for status in sorted(others)]
    return parts


def _searches_names(fields: Collection[str]) -> bool:
    """Returns whether the prefix of the name selects the index: no other filter has one that finds fewer tasks."""
    return "name_prefix" in fields and {"request_id", "queue", "name", *_WITH_OWN_INDEX}.isdisjoint(fields)


def _select_by_names(
    columns: str, statuses: Collection[task.Status], conditions: Sequence[str], ordering: str
) -> list[str]:
    """Returns the SELECT of the tasks of each name with the prefix that are not running; none if only those match."""
    others = set(statuses or task.Status) - {task.Status.RUNNING}
    if not others:
        return []
    # With the prefix too, the planner may expect few tasks of a name and sort them all.
    others_of_name = (each for each in conditions if each != _CONDITIONS["name_prefix"])
    conditions = [_is_one_of(others), "name = wanted_name", *others_of_name]
    of_name = _select(columns, conditions, ordering, "execution_time")
    return [f"(SELECT matching.* FROM ({_NAMES}) AS names CROSS JOIN LATERAL ({of_name}) AS matching)"]


def _is_one_of(statuses: Collection[task.Status]) -> str:
    # Literals instead of parameters, so that partial indexes match, and a cached plan knows how many there are.
    texts = sorted(f"'{task.Status(status)}'" for status in statuses)
    return f"status = {texts[0]}" if len(texts) == 1 else f"status IN ({', '.join(texts)})"


def _select(columns: str, conditions: Sequence[str], ordering: str, time: str) -> str:
    where, order = " AND ".join(conditions).format(time=time), ordering.format(time=time)
    return f"SELECT {columns} FROM tasks WHERE {where} ORDER BY {order} LIMIT :limit"


def _cut_by_size(page: str, ordering: str) -> str:
    """Returns the statement that reads `page` up to MAX_PAGE_BYTES, and always its first task.

    PostgreSQL knows the size of JSON as text only after writing it, but its stored size at once. The stored size cuts
    first: text is written for a few pages' worth at most, instead of for all rows of `page`.
    """
    above = f"(ORDER BY {ordering} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    stored = "pg_column_size(task_data) + coalesce(pg_column_size(result), 0)"
    written = "octet_length(CAST(task_data AS text)) + coalesce(octet_length(CAST(result AS text)), 0)"
    return f"""
        SELECT {task_columns.TASK_COLUMNS}, found FROM (
            SELECT *, sum({written}) OVER {above} AS written_above FROM (
                SELECT *, sum({stored}) OVER {above} AS stored_above, count(*) OVER () AS found FROM ({page}) AS page
            ) AS stored
            WHERE coalesce(stored_above, 0) < {MAX_PAGE_BYTES}
        ) AS written
        WHERE coalesce(written_above, 0) < {MAX_PAGE_BYTES}
        ORDER BY {ordering}
    """
