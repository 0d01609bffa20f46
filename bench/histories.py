"""Task histories read from the log: durations, lateness and completeness.

Each function considers only tasks with a task_id above `after`, so that the database may contain others.
"""

import dataclasses

from bench import harness

_SPAN = """
SELECT count(DISTINCT task_id) AS tasks,
    extract(epoch FROM max(timestamp) FILTER (WHERE change = 'completed')
        - min(timestamp) FILTER (WHERE change = 'started'))::float8 AS seconds
FROM task_logs WHERE task_id > %s
"""
_WRONG = """
SELECT count(*) FROM (
    SELECT array_agg(change ORDER BY version) AS changes, array_agg(version ORDER BY version) AS versions
    FROM task_logs WHERE task_id > %s GROUP BY task_id
) AS histories
WHERE changes <> ARRAY['created', 'started', 'completed'] OR versions <> ARRAY[1, 2, 3]
"""
_LATE = """
SELECT extract(epoch FROM timestamp - execution_time)::float8 * 1000 AS milliseconds
FROM task_logs WHERE change = %s AND task_id > %s ORDER BY 1
"""
_LAST = "SELECT coalesce(max(task_id), 0) AS task_id FROM task_logs"
_COMPLETED = "SELECT count(*) FROM ended_tasks WHERE status = 'completed' AND task_id > %s"


@dataclasses.dataclass(frozen=True)
class Span:
    """From the first start to the last completion, by the database's clock."""

    tasks: int
    seconds: float

    @property
    def rate(self) -> float:
        """Completed tasks per second."""
        return self.tasks / self.seconds


async def last(deployment: harness.Deployment) -> int:
    """Returns the highest task_id, or 0 if there is none: the value of `after` for tasks created later."""
    found: int = (await deployment.query(_LAST))[0]["task_id"]
    return found


async def completed(deployment: harness.Deployment, *, after: int = 0) -> int:
    """Returns how many tasks have completed."""
    found: int = (await deployment.query(_COMPLETED, [after]))[0]["count"]
    return found


async def span(deployment: harness.Deployment, *, after: int = 0) -> Span:
    """Returns the span of the completed tasks, if no others ran."""
    (row,) = await deployment.query(_SPAN, [after])
    return Span(row["tasks"], row["seconds"])


async def verify(deployment: harness.Deployment, *, tasks: int, after: int = 0) -> None:
    """Fails unless exactly `tasks` tasks were each created, started and completed once, in this order."""
    (wrong,) = await deployment.query(_WRONG, [after])
    done = await completed(deployment, after=after)
    if wrong["count"] or done != tasks:
        raise AssertionError(f"{done} of {tasks} tasks completed; {wrong['count']} histories are wrong")


async def lateness(deployment: harness.Deployment, *, change: str = "started", after: int = 0) -> list[float]:
    """Returns the sorted lateness of the tasks' starts, or of another change, in ms by the database's clock."""
    return [row["milliseconds"] for row in await deployment.query(_LATE, [change, after])]
