"""The evidence for the checker, read once the system has settled."""

import dataclasses
import datetime
import functools
import itertools
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
    error_message: str | None = None

    @property
    def is_withdrawn(self) -> bool:
        """Whether its schedule deleted it, not a caller, who may delete occurrences that ran or will not run."""
        return self.deleted_at is not None and (self.error_message or "").startswith("The schedule ")


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
    queue: str = "default"
    name: str = "chaos"


@dataclasses.dataclass(frozen=True)
class Active:
    """When a schedule had this interval and was not paused."""

    begins: datetime.datetime
    ends: datetime.datetime
    interval: datetime.timedelta


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A schedule, when it was active, and the nominal times that it logged as skipped."""

    schedule_id: int
    active: list[Active]
    skipped: list[tuple[datetime.datetime, datetime.datetime]]


Intervals = dict[tuple[int, int], datetime.timedelta]
"""The interval of each version of a schedule, as callers saw it."""


@dataclasses.dataclass(frozen=True)
class Lease:
    """A task of a row of `leases`, with the version of its claim."""

    task_id: int
    version: int
    worker_id: str
    started_at: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Failover:
    """When a standby took over, and what the primary had by then."""

    promoted: float
    changes: frozenset[Log]
    request_ids: dict[int, str | None]
    """By task."""
    leases: frozenset[Lease]
    keeps_answers: bool
    """Whether the standby was synchronous."""


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
    failover: Failover | None = None
    lost: frozenset[Log] = frozenset()
    """The changes that a failover lost; see `losses`."""

    @functools.cached_property
    def runs_of(self) -> dict[int, list[Run]]:
        """The runs by task."""
        by_task: dict[int, list[Run]] = {}
        for run in self.runs:
            by_task.setdefault(run.task_id, []).append(run)
        return by_task

    def waits_for_a_wrong_time(self, task_id: int) -> bool:
        """Returns whether a task waits for a time that the database's clock, then ahead, has set, as of a retry."""
        row = self.rows.get(task_id)
        return row is not None and row.status == "pending" and self.offset.ahead(self.logs[task_id][-1].timestamp) > 0


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


_SPECS = "SELECT schedule_id, version, spec FROM schedules"
_SCHEDULE_LOGS = """
SELECT change, timestamp, nominal_time, coalesce(until, nominal_time) AS until FROM schedule_logs
WHERE schedule_id = %s ORDER BY log_id
"""


async def read_leases(connection: psycopg.AsyncConnection[psycopg.rows.DictRow]) -> frozenset[Lease]:
    """Reads the claims whose outcomes are not recorded; their starts may not be logged yet."""
    read = await connection.execute(
        "SELECT task_id, version + 1 AS version, worker_id, started_at "
        "FROM leases CROSS JOIN LATERAL unnest(task_ids, versions) AS claimed (task_id, version)"
    )
    return frozenset(Lease(**row) for row in await read.fetchall())


async def read_schedules(
    connection: psycopg.AsyncConnection[psycopg.rows.DictRow], intervals: Intervals
) -> list[Schedule]:
    """Reads the schedules, and when each was active. Their last period, without an end, is not checked."""
    found = []
    for row in await (await connection.execute(_SPECS)).fetchall():
        logs = await (await connection.execute(_SCHEDULE_LOGS, [row["schedule_id"]])).fetchall()
        only = datetime.timedelta(microseconds=row["spec"]["interval"])
        skipped = [(log["nominal_time"], log["until"]) for log in logs if log["change"] == "skipped"]
        changes = [log for log in logs if log["change"] != "skipped"]
        active = []
        is_paused = False
        for version, (log, after) in enumerate(itertools.pairwise(changes), start=1):
            is_paused = log["change"] == "paused" or (is_paused and log["change"] != "resumed")
            if not is_paused:
                interval = intervals.get((row["schedule_id"], version), only)
                active.append(Active(log["timestamp"], after["timestamp"], interval))
        found.append(Schedule(row["schedule_id"], active, skipped))
    return found


async def _all(
    connection: psycopg.AsyncConnection[psycopg.rows.DictRow], kind: Any, table: str
) -> list[psycopg.rows.DictRow]:
    columns = ", ".join(field.name for field in dataclasses.fields(kind))
    return await (await connection.execute(f"SELECT {columns} FROM {table}")).fetchall()
