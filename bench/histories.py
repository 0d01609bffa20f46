"""What the log says of the tasks that ran: how long it took, and that nothing is missing."""

import dataclasses

from bench import stage

_SPAN = """
SELECT count(DISTINCT task_id) AS tasks,
    extract(epoch FROM max(timestamp) FILTER (WHERE change = 'completed')
        - min(timestamp) FILTER (WHERE change = 'started'))::float8 AS seconds
FROM task_logs
"""
_UNSOUND = """
SELECT count(*) FROM (
    SELECT array_agg(change ORDER BY version) AS changes, array_agg(version ORDER BY version) AS versions
    FROM task_logs GROUP BY task_id
) AS histories
WHERE changes <> ARRAY['created', 'started', 'completed'] OR versions <> ARRAY[1, 2, 3]
"""
_LATE = """
SELECT extract(epoch FROM timestamp - execution_time)::float8 * 1000 AS milliseconds
FROM task_logs WHERE change = %s ORDER BY 1
"""
_COMPLETED = "SELECT count(*) FROM tasks WHERE status = 'completed'"


@dataclasses.dataclass(frozen=True)
class Span:
    """From the first start to the last completion, by the database's clock."""

    tasks: int
    seconds: float

    @property
    def rate(self) -> float:
        """Completed tasks a second."""
        return self.tasks / self.seconds


async def completed(scene: stage.Scene) -> int:
    """Returns how many tasks have completed."""
    found: int = (await scene.query(_COMPLETED))[0]["count"]
    return found


async def span(scene: stage.Scene) -> Span:
    """Returns what the completed tasks took. Only for a database in which nothing ran before."""
    (row,) = await scene.query(_SPAN)
    return Span(row["tasks"], row["seconds"])


async def require_sound(scene: stage.Scene, *, tasks: int) -> None:
    """Fails unless each of so many tasks was created, started and completed, in this order and once each."""
    (unsound,) = await scene.query(_UNSOUND)
    done = await completed(scene)
    if unsound["count"] or done != tasks:
        raise AssertionError(f"{done} of {tasks} tasks completed; {unsound['count']} histories are not sound")


async def late(scene: stage.Scene, *, change: str = "started") -> list[float]:
    """Returns, sorted, how many milliseconds after they were due tasks started, by the database's clock.

    Or when they came to another change: `completed`.
    """
    return [row["milliseconds"] for row in await scene.query(_LATE, [change])]
