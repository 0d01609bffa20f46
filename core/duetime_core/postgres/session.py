"""The settings of sessions, verified for each new connection: a pooler may drop those that it was opened with."""

import re
from typing import Any

import psycopg
import sqlalchemy

from duetime_core.postgres import connection

_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\.|[^\s\\])*)")

# To set a value for this statement alone returns it in the form in which PostgreSQL shows it.
_COMPARE = """
SELECT pg_backend_pid(), current_setting('synchronous_commit'), ARRAY(
    SELECT name FROM (
        SELECT name, current_setting(name, true) AS present, set_config(name, value, true) AS wanted
        FROM unnest(CAST(%s AS text[]), CAST(%s AS text[])) AS setting (name, value)
    ) AS compared WHERE present IS DISTINCT FROM wanted
)
"""
_SET = """
SELECT set_config(name, value, false) FROM unnest(CAST(%s AS text[]), CAST(%s AS text[])) AS setting (name, value)
"""
_PROCESS_ID = "SELECT pg_backend_pid()"
_ROUNDS = 3
"""How often to look whether a pooler parts from its session, which other clients of it may hide."""

TRANSACTION_MODE = (
    "a pooler in transaction mode is in front of PostgreSQL, and would lose settings and prepared statements: set its "
    "mode to session for this database, or connect to PostgreSQL itself"
)


class Sessions:
    """Opens the connections of one engine, with the settings of its `options` in force."""

    def __init__(self, answer_seconds: float | None = None) -> None:
        self._answer_seconds = answer_seconds or connection.ANSWER_SECONDS
        self._keeps_sessions = False  # whether it is known that no pooler is in transaction mode

    def open(self, dialect: sqlalchemy.Dialect, _record: object, arguments: Any, parameters: dict[str, Any]) -> Any:
        """Returns a new connection, for SQLAlchemy's event `do_connect`.

        Raises psycopg.OperationalError, also for a pooler in transaction mode.
        """
        without = {name: value for name, value in parameters.items() if name != "options"}
        try:
            opened: Any = dialect.connect(*arguments, **parameters)
        except psycopg.OperationalError as error:
            if "unsupported startup parameter" not in str(error):
                raise
            opened = dialect.connect(*arguments, **without)  # PgBouncer by default: the settings follow
        try:
            opened.autocommit = True
            opened.driver_connection.answer_seconds = self._answer_seconds
            process_id, missing = _compare(opened, wanted(parameters.get("options", "")))
            if not self._keeps_sessions:
                if process_id != opened.driver_connection.info.backend_pid:  # a pooler makes up its own
                    _require_session_mode(opened, dialect.connect(*arguments, **without))
                self._keeps_sessions = True
            if missing:
                _execute(opened, _SET, [*missing], [*missing.values()])
        except BaseException:
            opened.close()
            raise
        return opened


def wanted(options: str) -> dict[str, str]:
    """Returns the settings in libpq's `options`; of several values the last counts, as for PostgreSQL."""
    found = _OPTION.findall(options)
    return {name.lower().replace("-", "_"): re.sub(r"\\(.)", r"\1", value) for name, value in found}


def _compare(opened: Any, settings: dict[str, str]) -> tuple[int, dict[str, str]]:
    """Returns the process id of the session's backend, and the settings that are not in force."""
    ((process_id, synchronous_commit, names),) = _execute(opened, _COMPARE, [*settings], [*settings.values()])
    missing = {name: settings[name] for name in names}
    if synchronous_commit == "off" and "synchronous_commit" not in settings:
        missing["synchronous_commit"] = "on"  # otherwise a crash would lose what was answered
    return process_id, missing


def _require_session_mode(opened: Any, other: Any) -> None:
    """Raises psycopg.OperationalError if the transaction of another connection changes or takes this one's session."""
    try:
        for _ in range(_ROUNDS):
            before, of_other, after = (_execute(each, _PROCESS_ID) for each in (opened, other, opened))
            other.rollback()
            if before == of_other or before != after:
                raise psycopg.OperationalError(TRANSACTION_MODE)
    finally:
        other.close()


def _execute(connected: Any, statement: str, *parameters: list[str]) -> Any:
    cursor = connected.cursor()
    try:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
    finally:
        cursor.close()
