"""Every statement of the store is about the namespace of its call, or is a named exception."""

import fnmatch
import re

import pytest

from duetime_core.postgres import namespace_tables, schema
from tests.support import restricted, store_statements

_BY_LEASE = "a lease is found by its id or its time; its tasks, in its version, keep their namespaces"
_RETENTION = "deletes what is old, of all namespaces"
_FEED = "rows have their namespace, and the reader gives each caller only those of one"
_SCHEDULES = "finds schedules of all namespaces; each is then advanced within its own"
EXCEPTIONS = {
    "tasks/creation.py: CREATE_FOR_CALLERS": "creates for calls of several namespaces: each task of its input has one",
    "tasks/outcomes.py: _RECORD": _BY_LEASE,
    "tasks/outcomes.py: _RECORD_LOGGED": _BY_LEASE,
    "tasks/outcomes.py: _HELD": _BY_LEASE,
    "tasks/outcomes.py: _LOG_STARTS": _BY_LEASE,
    "leases.py: _EXTEND": _BY_LEASE,
    "leases.py: _STILL_THERE": _BY_LEASE,
    "claiming/rescue.py: _RECLAIM": _BY_LEASE,
    "claiming/rescue.py: _RELEASE": f"the leases are of the namespace, and {_BY_LEASE}",
    "claiming/rescue.py: _RAISE_FLOOR": _BY_LEASE,
    "tasks/history.py: _DELETE_STRAYS": _RETENTION,
    "tasks/history.py: _forget": _RETENTION,
    "log/retention.py: _DELETE_SCHEDULES": _RETENTION,
    "log/retention.py: _FREE_TIMES": _RETENTION,
    "log/retention.py: _DELETE_STRAYS": _RETENTION,
    "log/retention.py: _DELETE_OTHER_LOGS*": _RETENTION,
    "audit/retention.py: _DELETE": _RETENTION,
    "log/feed.py: _READ_*": _FEED,
    "log/histories.py: _LOOK": "the last durable row of the log is a place in the feed, whosever it is",
    "log/histories.py: _COMPARE": "the last durable row of the log is a place in the feed, whosever it is",
    "schedules/advance.py: _LOCK_*": _SCHEDULES,
    "schedules/advance.py: _NEXT_AT": _SCHEDULES,
    "schedules/candidates.py: _ENDED": _SCHEDULES,
    "schedules/candidates.py: _WAITING": _SCHEDULES,
    "schedules/floors.py: _DUE.*": _SCHEDULES,
    "schedules/ahead.py: _READ": "duetime doctor checks the database as a whole",
    "api_keys/read.py: _FIND": "the key that a caller gives says in which namespace the caller is",
    "api_keys/read.py: _IDS": "a server knows which keys its callers may have, of any namespace",
    "api_keys/usage.py: _NOTE": "a server notes the last uses of the keys of all its callers, by their ids",
    "queues/handlers.py: _READ": "a server keeps the handlers of all namespaces, and uses those of a call's",
    "queues/workers.py: _HEARTBEAT": "deletes the rows of workers of any namespace that are gone",
}
"""By the place of the statement, why it is not restricted. Rows that it writes have a namespace all the same."""
_AT_IMPORT = {
    "claiming/floors.py: _stamp_ahead",
    "claiming/locked.py: __init__",
    "claiming/statements.py: claim",
    "schedules/advance.py: _lock_due",
    "schedules/floors.py: _raise_due",
    "schedules/floors.py: _raise_next",
    "tasks/creation.py: _creating",
    "tasks/edit.py: _end_one",
    "tasks/outcomes.py: _record",
}
_OF_PARTITIONS = {
    "log/restoration.py: reset_transaction_ids",
    "log/retention.py: drop_month",
    "tasks/history.py: drop_oldest",
}
"""These change partitions, or what PostgreSQL's own ids mean, and are no caller's."""

STATEMENTS = store_statements.all_of_them()


def _found(name: str) -> list[str]:
    return restricted.faults(*store_statements.compiled(STATEMENTS[name]))


def _is_written(fault: str) -> bool:
    return fault.startswith("InsertStmt")


def _exception(name: str) -> str | None:
    return next((pattern for pattern in EXCEPTIONS if fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))), None)


def test_every_statement_reads_and_changes_rows_of_one_namespace_alone() -> None:
    wrong = {name: found for name in STATEMENTS if _exception(name) is None and (found := _found(name))}
    assert wrong == {}


def test_every_row_is_written_with_its_namespace_also_by_exceptions() -> None:
    wrong = {name: found for name in STATEMENTS if (found := [*filter(_is_written, _found(name))])}
    assert wrong == {}


def test_every_exception_is_needed() -> None:
    needed = {_exception(name) for name in STATEMENTS if _exception(name) is not None and _found(name)}
    assert EXCEPTIONS.keys() - needed == set()


def test_every_function_that_builds_statements_is_known() -> None:
    built = {re.sub(r"(?<=: )(\w+).*", r"\1", name) for name in store_statements.built()}
    assert store_statements.builders() == built | _AT_IMPORT | _OF_PARTITIONS


def test_the_tables_of_namespaces_are_those_with_the_column() -> None:
    with_column = {name for name, table in schema.metadata.tables.items() if "namespace_id" in table.columns}
    assert with_column - {"namespaces"} == namespace_tables.TENANT_TABLES


RESTRICTED = [
    "SELECT FROM tasks WHERE namespace_id = $1",
    "SELECT FROM tasks AS t WHERE t.namespace_id = $1::int AND t.queue = 'a'",
    "SELECT FROM queues WHERE false FOR KEY SHARE",
    "SELECT FROM payloads",
    "WITH tasks AS (SELECT 1 AS task_id) SELECT FROM tasks",
    "SELECT FROM tasks WHERE namespace_id = $1 AND EXISTS ("
    "SELECT FROM waiting WHERE waiting.namespace_id = tasks.namespace_id)",
    "SELECT FROM tasks LEFT JOIN queues ON queues.namespace_id = tasks.namespace_id WHERE tasks.namespace_id = $1",
    "UPDATE tasks SET version = 1 FROM waiting WHERE tasks.namespace_id = $1 AND waiting.namespace_id = $1",
    "INSERT INTO tasks (task_id, namespace_id) VALUES (1, $1)",
    "INSERT INTO tasks (namespace_id) SELECT namespace_id FROM waiting WHERE namespace_id = $1",
]
NOT_RESTRICTED = {
    "SELECT FROM tasks": "tasks",
    "SELECT FROM tasks WHERE namespace_id = $2": "tasks",
    "SELECT FROM tasks WHERE namespace_id = 1": "tasks",
    "SELECT FROM tasks WHERE namespace_id = $1 OR true": "tasks",
    "SELECT FROM tasks WHERE NOT namespace_id = $1": "tasks",
    "SELECT FROM tasks WHERE namespace_id <> $1": "tasks",
    "SELECT FROM tasks WHERE namespace_id = tasks.namespace_id": "tasks",
    "SELECT FROM tasks AS t JOIN tasks AS u USING (task_id) WHERE t.namespace_id = $1": "u",
    "SELECT FROM tasks JOIN waiting ON waiting.namespace_id = tasks.namespace_id": "tasks",
    "SELECT FROM tasks WHERE namespace_id = $1 AND EXISTS (SELECT FROM waiting)": "waiting",
    "SELECT FROM (SELECT FROM tasks) AS inner_tasks": "tasks",
    "SELECT (SELECT count(*) FROM tasks)": "tasks",
    "WITH a AS (DELETE FROM tasks RETURNING task_id) SELECT FROM a": "tasks",
    "SELECT 1 UNION ALL SELECT 2 FROM tasks": "tasks",
    "SELECT FROM ended_tasks_default": "ended_tasks_default",
    "UPDATE tasks SET version = 1 WHERE task_id = ANY (ARRAY(SELECT 1 FROM waiting WHERE namespace_id = $1))": "tasks",
    "DELETE FROM tasks USING waiting WHERE waiting.namespace_id = $1": "tasks",
    "INSERT INTO tasks (task_id) VALUES (1)": "tasks without",
    "INSERT INTO tasks (task_id, namespace_id) VALUES (1, 1)": "tasks with another",
    "INSERT INTO tasks (namespace_id) SELECT $1 UNION ALL SELECT 7": "tasks with another",
}


@pytest.mark.parametrize("query", RESTRICTED)
def test_a_restricted_statement_is_recognised(query: str) -> None:
    assert restricted.faults(query, 1) == []


@pytest.mark.parametrize("query", NOT_RESTRICTED)
def test_a_statement_that_is_not_restricted_is_noticed(query: str) -> None:
    assert NOT_RESTRICTED[query] in restricted.faults(query, 1)[0]
