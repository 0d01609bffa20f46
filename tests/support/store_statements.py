"""Every statement of the store: those of its modules, and those that its functions build for a call."""

import ast
import importlib
import itertools
import pathlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from duetime_core import store
from duetime_core.model import task
from duetime_core.postgres import direct
from duetime_core.store.audit import read as audit_read
from duetime_core.store.claiming import locked
from duetime_core.store.schedules import page as schedule_page
from duetime_core.store.tasks import bulk_edit, edit, edits, history
from duetime_core.store.tasks import page as task_page

FOLDER = pathlib.Path(store.__file__).parent
_NEW: dict[str, Any] = {
    "name": "noop",
    "queue": "mail",
    "execution_time": None,
    "local_time": (None, None, None),
    "task_data": {},
    "max_retries": 1,
    "retry_policy": task.RetryPolicy(),
    "timeout": None,
    "priority": 1,
    "concurrency_key": "k",
}
"""All that an update can change."""
_FILTERED = ("queue", "name", "due_from", "due_before", "schedule_id", "concurrency_key", "request_id", "name_prefix")


def all_of_them() -> dict[str, sa.TextClause]:
    """Returns them by where they are from."""
    return {**_of_modules(), **built()}


def compiled(statement: sa.TextClause) -> tuple[str, int | None]:
    """Returns what PostgreSQL parses, and the number of the parameter that is the namespace; None without one."""
    query, names = direct._compiled(statement)
    return query.decode(), names.index(None) + 1 if None in names else None


def builders() -> set[str]:
    """Returns the functions that build statements, as `module.py: function`."""
    return {
        f"{path.relative_to(FOLDER)}: {function.name}"
        for path in FOLDER.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_is_text, ast.walk(function)))
    }


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "text"
        and isinstance(node.value, ast.Name)
        and node.value.id in ("sa", "namespaced")
    )


def _of_modules() -> dict[str, sa.TextClause]:
    found: dict[int, tuple[str, sa.TextClause]] = {}
    for module in pkgutil.walk_packages(store.__path__, f"{store.__name__}."):
        where = module.name.removeprefix(f"{store.__name__}.").replace(".", "/")
        for name, value in vars(importlib.import_module(module.name)).items():
            for key, statement in _statements(value):
                found.setdefault(id(statement), (f"{where}.py: {name}{key}", statement))
    return dict(found.values())


def _statements(value: Any) -> Iterator[tuple[str, sa.TextClause]]:
    if isinstance(value, sa.TextClause):
        yield "", value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from ((f"[{key}]{below}", statement) for below, statement in _statements(each))
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        for key, each in value._asdict().items():
            yield from ((f".{key}{below}", statement) for below, statement in _statements(each))
    elif isinstance(value, list | tuple):
        yield from _statements(dict(enumerate(value)))
    elif isinstance(value, locked._Source):
        yield from ((".claim", value.claim), (".read", value.read))


def built() -> dict[str, sa.TextClause]:
    found = {"tasks/edit.py: _updating": edit._updating(_NEW, 1)[0]}
    for statuses, fields, order, is_first in _pages():
        key = f"{statuses}{fields}{order}{is_first}"
        found[f"tasks/page.py: _list {key}"] = task_page._list(statuses, fields, order, is_first=is_first)
    for what in (task.Change.UPDATED, task.Change.CANCELLED, task.Change.RETRIED, task.Change.DELETED):
        for field in _FILTERED:
            page, _ = task_page.page_statement(task_page.Filter(**{field: "1"}), after=None)  # type: ignore[arg-type]
            assignments, _ = edits.assigning({"queue": "mail"})
            statement = bulk_edit._statement(what, page, assignments, "queue = :new_queue")
            found[f"tasks/bulk_edit.py: _statement {what} {field}"] = statement
    for fields, is_paused in itertools.product(_subsets(("name", "queue")), (None, True, False)):
        found[f"schedules/page.py: _list {fields}{is_paused}"] = schedule_page._list(fields, is_paused)
    for fields in _subsets(("kind", "actor", "key_id")):
        found[f"audit/read.py: _list {fields}"] = audit_read._list(fields)
    found["tasks/history.py: _forget"] = history._forget("ended_tasks_d20300101")
    return found


def _pages() -> Iterator[tuple[tuple[task.Status, ...], tuple[str, ...], task_page.Order, bool]]:
    orders: tuple[task_page.Order, ...] = ("execution_time", "execution_time desc", "task_id", "task_id desc")
    statuses = ((), (task.Status.PENDING,), (task.Status.RUNNING,), (task.Status.FAILED,), (*task.FINISHED,))
    filters = [(), *((field,) for field in _FILTERED), ("queue", "name"), _FILTERED]
    yield from itertools.product(statuses, filters, orders, (True, False))


def _subsets(fields: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [each for size in range(len(fields) + 1) for each in itertools.combinations(fields, size)]
