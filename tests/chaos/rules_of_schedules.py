"""The rule about schedules: each nominal time has exactly one task, or was skipped with a reason."""

import collections
import datetime
from collections.abc import Iterator

from tests.chaos.evidence import Evidence, Schedule


def each_nominal_time_has_one_task(evidence: Evidence) -> Iterator[str]:
    """Rule 10: between a schedule's creation and its pause, no task is missing, doubled or spurious."""
    # An occurrence that was due right before a pause may not have been created.
    slack = datetime.timedelta(seconds=evidence.lease_seconds + 2 * evidence.sweep_seconds)
    for schedule in evidence.schedules:
        tasks = collections.Counter(
            row.nominal_time
            for row in evidence.rows.values()
            if row.schedule_id == schedule.schedule_id and row.nominal_time is not None and row.deleted_at is None
        )
        for nominal, count in tasks.items():
            if count > 1:
                yield f"schedule {schedule.schedule_id} made {count} tasks for {nominal}"
            if (nominal - schedule.anchor) % schedule.interval:
                yield f"schedule {schedule.schedule_id} made a task for {nominal}, which is none of its times"
        for nominal in _expected(schedule, slack):
            if nominal not in tasks and not any(first <= nominal <= last for first, last in schedule.skipped):
                yield f"schedule {schedule.schedule_id} made no task for {nominal}, and did not log it as skipped"


def _expected(schedule: Schedule, slack: datetime.timedelta) -> Iterator[datetime.datetime]:
    for begins, ends in schedule.active:
        nominal = schedule.anchor + ((begins - schedule.anchor) // schedule.interval + 1) * schedule.interval
        while nominal < ends - slack:
            yield nominal
            nominal += schedule.interval
