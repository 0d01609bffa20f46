"""The page of a list of tasks: which tasks, in which order, and the SQL that reads it through an index."""

import dataclasses
import datetime
import functools
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from duetime_core.model import task
from duetime_core.postgres import namespaced, schema
from duetime_core.store import leases
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
    "request_id": (
        "task_id = (SELECT task_id FROM request_ids "
        "WHERE request_ids.namespace_id = :namespace_id AND request_ids.request_id = :request_id)"
    ),
    "name_prefix": "starts_with(name, :name_prefix)",
}
"""By the field of a filter; {time} is the execution_time as the index of a part has it."""
_WITH_OWN_INDEX = {"schedule_id", "concurrency_key"}
"""The filters with an index of all matching tasks, in an order that no other index of them has."""


_OWN = "namespace_id = :namespace_id"


def _first_name(condition: str) -> str:
    """Returns the SELECT of the first name of a task for which the condition holds, in the order of bytes."""
    found = (
        f"(SELECT name FROM {table} WHERE {_OWN} AND {which} AND {condition} ORDER BY name USING ~<~ LIMIT 1)"
        for table, which in (("tasks", schema.LISTED), ("ended_tasks", schema.ENDED_LISTED))
    )
    return f"SELECT name FROM ({' UNION ALL '.join(found)}) AS both_tables ORDER BY name USING ~<~ LIMIT 1"


# The names with a prefix, each found by one lookup in the indexes of names, in the order of their bytes: there the
# first name with another beginning ends the search.
_NAMES = f"""
    WITH RECURSIVE names AS (
        ({_first_name("name ~>=~ :name_prefix")})
        UNION ALL
        SELECT ({_first_name("name ~>~ before.name")})
        FROM names AS before WHERE starts_with(before.name, :name_prefix)
    )
    SELECT name AS wanted_name FROM names WHERE starts_with(name, :name_prefix)
"""

MAX_NAMES = 1_000
"""How many names may begin with a prefix: of each, up to a page of tasks is read and sorted."""
COUNT_NAMES = namespaced.text(f"SELECT count(*) FROM (SELECT FROM ({_NAMES}) AS names LIMIT {MAX_NAMES + 1}) AS found")
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
    page, _ = _page(wanted.statuses, tuple(parameters), "execution_time", after is None, ids_only=True)
    if after is not None:
        parameters["after_time"], parameters["after_id"] = after
    return page, parameters


@functools.lru_cache(maxsize=256)
def _list(statuses: tuple[task.Status, ...], fields: tuple[str, ...], order: Order, *, is_first: bool) -> sa.TextClause:
    return namespaced.text(_cut_by_size(*_page(statuses, fields, order, is_first)))


class _Part(NamedTuple):
    """Tasks of one table that one of its indexes has in the order of execution, with its expression for that time."""

    table: str
    which: str
    time: str


def _page(
    statuses: Collection[task.Status], fields: tuple[str, ...], order: Order, is_first: bool, *, ids_only: bool = False
) -> tuple[str, str]:
    """Returns the SQL of a page, and its ordering."""
    column, _, descending = order.partition(" ")
    direction, beyond = ("DESC", "<") if descending else ("ASC", ">")
    conditions = [_CONDITIONS[field] for field in fields]
    if column == "task_id":
        ordering = f"task_id {direction}"
        position = f"task_id {beyond} :after_id"
    else:
        ordering = f"{{time}} {direction}, task_id {direction}"
        position = f"({{time}}, task_id) {beyond} (:after_time, :after_id)"
    if not is_first:
        conditions.append(position)
    statuses = frozenset(statuses or task.Status)
    by_id = "request_id" in fields or (column == "task_id" and _WITH_OWN_INDEX.isdisjoint(fields))
    searched = column != "task_id" and _searches_names(fields)
    parts = [*_live(statuses, fields, by_id), *_ended(statuses, fields, by_id)]
    selects = [_select(part, conditions, ordering, searched=searched, ids_only=ids_only) for part in parts]
    ordering = ordering.format(time="execution_time")
    return f"SELECT * FROM ({' UNION ALL '.join(selects)}) AS merged ORDER BY {ordering} LIMIT :limit", ordering


_IS_WAITING = f"""EXISTS (
    SELECT FROM waiting WHERE waiting.task_id = tasks.task_id AND waiting.{_OWN} OFFSET 0
)"""


def _live(statuses: frozenset[task.Status], fields: Collection[str], by_id: bool) -> Iterator[_Part]:
    has_own_index = by_id or not {"queue", "name", "name_prefix"}.isdisjoint(fields)
    time = "execution_time" if has_own_index and _WITH_OWN_INDEX.isdisjoint(fields) else schema.LISTED_AT
    match task.Status.PENDING in statuses, task.Status.RUNNING in statuses:
        case True, True:
            yield _Part("tasks", schema.LISTED, time)
        case True, False:
            # Of the tasks that run, it passes over as many as the workers have slots.
            yield _Part("tasks", f"{schema.LISTED} AND {_IS_WAITING}", time)
        case False, True:
            # At most as many as the workers have slots: they are sorted.
            ids = f"ARRAY(SELECT running.task_id FROM {leases.RUNNING} AS running)"
            yield _Part("tasks", f"task_id = ANY({ids}) AND NOT {_IS_WAITING}", "execution_time")


def _ended(statuses: frozenset[task.Status], fields: Collection[str], by_id: bool) -> Iterator[_Part]:
    ended = sorted(statuses & task.FINISHED)
    if not ended:
        return
    if by_id or not {"queue", "name", "name_prefix"}.isdisjoint(fields):
        time = "execution_time" if _WITH_OWN_INDEX.isdisjoint(fields) else schema.LISTED_AT
        yield _Part("ended_tasks", _is_one_of(ended), time)
    elif not _WITH_OWN_INDEX.isdisjoint(fields):
        yield _Part("ended_tasks", _is_one_of(ended), schema.LISTED_AT)
    else:
        yield from (_Part("ended_tasks", _is_one_of([status]), "execution_time") for status in ended)


def _searches_names(fields: Collection[str]) -> bool:
    """Returns whether the prefix of the name selects the index: no other filter has one that finds fewer tasks."""
    return "name_prefix" in fields and {"request_id", "queue", "name", *_WITH_OWN_INDEX}.isdisjoint(fields)


def _is_one_of(statuses: Collection[task.Status]) -> str:
    # Literals instead of parameters, so that partial indexes match, and a cached plan knows how many there are.
    if set(statuses) == task.FINISHED:
        return "true"
    texts = sorted(f"'{task.Status(status)}'" for status in statuses)
    return f"status = {texts[0]}" if len(texts) == 1 else f"status IN ({', '.join(texts)})"


def _select(part: _Part, conditions: Sequence[str], ordering: str, *, searched: bool, ids_only: bool) -> str:
    which = [f"{part.table}.{_OWN}", part.which, *conditions]
    if part.table == "ended_tasks":
        which.insert(0, schema.ENDED_LISTED)
    if searched:
        # With the prefix too, the planner may expect few tasks of a name and sort them all.
        which = ["name = wanted_name", *(each for each in which if each != _CONDITIONS["name_prefix"])]
    where, order = " AND ".join(which).format(time=part.time), ordering.format(time=part.time)
    page = f"SELECT {part.table}.* FROM {part.table} WHERE {where} ORDER BY {order} LIMIT :limit"
    if searched:
        page = f"SELECT matching.* FROM ({_NAMES}) AS names CROSS JOIN LATERAL ({page}) AS matching"
    if ids_only:
        return f"(SELECT task_id, execution_time FROM ({page}) AS {part.table})"
    if part.table == "tasks":
        return f"(SELECT {task_columns.LIVE_COLUMNS} FROM ({page}) AS tasks {task_columns.LIVE})"
    return f"(SELECT {task_columns.ENDED_COLUMNS} FROM ({page}) AS ended_tasks)"


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
