"""Writing schedules, their logs and previews as protobuf."""

import datetime

from duetime.v1 import schedule_pb2
from duetime_core.model import recurrence, schedule
from duetime_server.schedules import messages

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def test_a_schedule_has_its_rule_template_and_next_occurrence() -> None:
    spec = recurrence.Spec(interval=HOUR, anchor=NOW, time_zone="Europe/Lisbon")
    template = schedule.Template("noop", {"a": 1}, priority=3)
    row = schedule.Schedule(
        7, "hourly", spec, template, schedule.Overlap.SKIP, schedule.CatchUp.ALL, None, True, NOW, "2030a", 2, NOW, NOW,
        None, next_time=NOW + HOUR, next_task_id=9,
    )  # fmt: skip
    written = messages.from_schedule(row)
    assert (written.schedule_id, written.cron, written.interval.ToTimedelta()) == (7, "", HOUR)
    assert written.overlap == schedule_pb2.Overlap.Policy.Value("skip")
    assert (written.task.name, written.task.priority, written.task.max_retries) == ("noop", 3, 3)
    assert (written.paused, written.next_task_id) == (True, 9)
    assert written.next_time.ToDatetime(datetime.UTC) == NOW + HOUR
    assert not written.HasField("catch_up_window")


def test_a_log_row_leaves_absent_fields_unset() -> None:
    written = messages.from_log(schedule.ScheduleLog(1, 7, "created", None, None, None, None, "api", NOW))
    assert (written.change, written.actor, written.reason, written.task_id) == ("created", "api", "", 0)
    assert not written.HasField("nominal_time")


def test_a_preview_shows_local_times_and_which_are_repeated() -> None:
    spec = recurrence.Spec(interval=HOUR, time_zone="Europe/Lisbon")
    before = datetime.datetime(2027, 10, 30, 23, 30, tzinfo=datetime.UTC)  # the clock is set back at 01:00 UTC
    found = [recurrence.Occurrence(before + n * HOUR, before + n * HOUR) for n in range(3)]
    written = messages.previewed(spec, found)
    assert [each.ToDatetime(datetime.UTC) for each in written.times] == [each.due for each in found]
    assert [each.local_time for each in written.details] == [
        "2027-10-31T00:30:00+01:00",
        "2027-10-31T01:30:00+01:00",
        "2027-10-31T01:30:00+00:00",
    ]
    assert [each.repeated for each in written.details] == [False, False, True]
