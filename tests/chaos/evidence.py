"""The evidence for the checker, read once the system has settled."""

import dataclasses
import datetime
import functools
import json
import pathlib
from typing import Any

import psycopg
import psycopg.rows

from tests.chaos import clock, handlers
from tests.chaos.history import Call
from tests.chaos.watchers import Seen
from tests.chaos.world import Incident
from tests.support import rows

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
"""The anchor of intervals."""

FINISHED = ("completed", "failed", "cancelled")
"""The statuses of a finished task."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as its handler recorded it; `ended` is None if it did not end."""

    task_id: int
    version: int
    pid: int
    token: int
    began: float
    ended: float | None


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of `tasks`."""

    task_id: int
    status: str
    version: int
    retry_count: int
    max_retries: int
    execution_time: datetime.datetime
    task_data: dict[str, Any]
    request_id: str | None
    deleted_at: datetime.datetime | None
    schedule_id: int | None = None
    nominal_time: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True)
class Log:
    """A row of `task_logs`."""

    task_id: int
    version: int
    status: str
    change: str
    timestamp: datetime.datetime
    execution_time: datetime.datetime
    retry_count: int
    actor: str


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A schedule with an interval, when it was active, and the nominal times that it logged as skipped."""

    schedule_id: int
    interval: datetime.timedelta
    anchor: datetime.datetime
    active: list[tuple[datetime.datetime, datetime.datetime]]
    skipped: list[tuple[datetime.datetime, datetime.datetime]]


@dataclasses.dataclass(frozen=True)
class Overdue:
    """How many seconds ago the oldest expired lease had expired, at the time `at`."""

    at: float
    seconds: float


@dataclasses.dataclass
class Evidence:
    """The calls, the runs, the rows and logs, the events of watches, and the incidents."""

    calls: list[Call]
    runs: list[Run]
    rows: dict[int, Row]
    logs: dict[int, list[Log]]
    """By task, ordered by version."""
    seen: list[Seen]
    incidents: list[Incident]
    offset: clock.Offset
    healed: float
    """When the last fault was over."""
    lease_seconds: float
    sweep_seconds: float
    overdue: list[Overdue] = dataclasses.field(default_factory=list)
    schedules: list[Schedule] = dataclasses.field(default_factory=list)
    known_before_retries: frozenset[str] = frozenset()
    """The request_ids in the database before unanswered creates were retried."""

    @functools.cached_property
    def runs_of(self) -> dict[int, list[Run]]:
        """The runs by task."""
        by_task: dict[int, list[Run]] = {}
        for run in self.runs:
            by_task.setdefault(run.task_id, []).append(run)
        return by_task


def read_runs(directory: pathlib.Path) -> list[Run]:
    """Reads what the handlers recorded."""
    path = directory / handlers.FILE
    runs: list[Run] = []
    latest: dict[tuple[int, int, int], int] = {}  # the index of the run to which the next end belongs
    for line in path.read_text().splitlines() if path.exists() else ():
        entry = json.loads(line)
        key = (entry["task_id"], entry["version"], entry["pid"])
        if entry["what"] == "began":
            latest[key] = len(runs)
            runs.append(Run(*key, entry["token"], entry["at"], None))
        else:
            runs[latest[key]] = dataclasses.replace(runs[latest[key]], ended=entry["at"])
    return runs


async def read_tables(
    connection: psycopg.AsyncConnection[psycopg.rows.DictRow],
) -> tuple[dict[int, Row], dict[int, list[Log]]]:
    """Reads the two tables."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        read = [Row(**row) for row in await _all(connection, Row, f"{rows.ALL} AS tasks")]
        logs = [Log(**row) for row in await _all(connection, Log, "task_logs")]
    by_task: dict[int, list[Log]] = {}
    for log in sorted(logs, key=lambda log: (log.task_id, log.version)):
        by_task.setdefault(log.task_id, []).append(log)
    return {row.task_id: row for row in read}, by_task


async def read_schedules(connection: psycopg.AsyncConnection[psycopg.rows.DictRow]) -> list[Schedule]:
    """Reads the schedules, and when each was active."""
    found = []
    for row in await (await connection.execute("SELECT schedule_id, spec FROM schedules")).fetchall():
        logs = await (
            await connection.execute(
                "SELECT change, timestamp, nominal_time, coalesce(until, nominal_time) AS until FROM schedule_logs "
                "WHERE schedule_id = %s ORDER BY log_id",
                [row["schedule_id"]],
            )
        ).fetchall()
        begins = [log["timestamp"] for log in logs if log["change"] in ("created", "resumed")]
        ends = [log["timestamp"] for log in logs if log["change"] == "paused"]
        skipped = [(log["nominal_time"], log["until"]) for log in logs if log["change"] == "skipped"]
        interval = datetime.timedelta(microseconds=row["spec"]["interval"])
        active = list(zip(begins, ends, strict=False))  # an interval without an end is not checked
        found.append(Schedule(row["schedule_id"], interval, EPOCH, active, skipped))
    return found


async def _all(
    connection: psycopg.AsyncConnection[psycopg.rows.DictRow], kind: Any, table: str
) -> list[psycopg.rows.DictRow]:
    columns = ", ".join(field.name for field in dataclasses.fields(kind))
    return await (await connection.execute(f"SELECT {columns} FROM {table}")).fetchall()
