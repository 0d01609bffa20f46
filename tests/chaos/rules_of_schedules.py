"""The rule about schedules: each nominal time has exactly one task, or was skipped with a reason."""

import collections
import datetime
from collections.abc import Iterator

from tests.chaos.evidence import Active, Evidence, Schedule

_ANCHOR = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
"""From which intervals are counted."""


def each_nominal_time_has_one_task(evidence: Evidence) -> Iterator[str]:
    """Rule 10: however a schedule was changed, no task is missing, doubled or spurious."""
    for schedule in evidence.schedules:
        tasks = collections.Counter(
            row.nominal_time
            for row in evidence.rows.values()
            if row.schedule_id == schedule.schedule_id and row.nominal_time is not None and not row.is_withdrawn
        )
        for nominal, count in tasks.items():
            if count > 1:
                yield f"schedule {schedule.schedule_id} made {count} tasks for {nominal}"
            if all((nominal - _ANCHOR) % active.interval for active in schedule.active):
                yield f"schedule {schedule.schedule_id} made a task for {nominal}, which is none of its times"
        for nominal in _expected(schedule):
            if nominal not in tasks and not any(first <= nominal <= last for first, last in schedule.skipped):
                yield f"schedule {schedule.schedule_id} made no task for {nominal}, and did not log it as skipped"


def _expected(schedule: Schedule) -> Iterator[datetime.datetime]:
    for active in schedule.active:
        nominal = _after(active)
        while nominal < active.ends:
            yield nominal
            nominal += active.interval


def _after(active: Active) -> datetime.datetime:
    return _ANCHOR + ((active.begins - _ANCHOR) // active.interval + 1) * active.interval
