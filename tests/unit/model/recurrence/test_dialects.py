"""The syntax of other programs is read as it was meant, or refused with what to write instead."""

import datetime
import time

import hypothesis
import pytest
from hypothesis import strategies

from duetime_core.model import recurrence

NOW = datetime.datetime(2027, 3, 1, 12, tzinfo=datetime.UTC)

# What is given → which field is wrong, or what else; and what to write instead.
INSTEAD: dict[str, tuple[str, ...]] = {
    # Fields that are out of range, each by its own name, also several at once.
    "0 0 1 13 *": ("the month is wrong: it is 1 to 12 or jan to dec, not '13'",),
    "0 0 1 0 *": ("the month is wrong", "not '0'"),
    "0 0 0 * *": ("the day-of-month is wrong", "not '0'"),
    "0 0 1 january *": ("the month is wrong", "not 'january'; write 'jan'"),
    "0 9 * SEPT mon": ("the month is wrong", "write 'sep'"),
    "60 * * * *": ("the minute is wrong: it is 0 to 59, not '60'; it begins again with 0",),
    "0 24 * * *": ("the hour is wrong: it is 0 to 23, not '24'; it begins again with 0",),
    "60 0 0 * * *": ("the second is wrong", "not '60'"),
    "0 9 * * 8": ("the day-of-week is wrong", "not '8'"),
    "70 25 * * *": ("the minute is wrong", "the hour is wrong"),
    "a b c d e": ("the minute is wrong", "the hour is wrong"),
    "1,,2 * * * *": ("the minute is wrong", "a comma stands between two values"),
    "5- * * * *": ("the minute is wrong", "not '5-'"),
    "\u0663 * * * *": ("the minute is wrong",),
    f"{'9' * 200} * * * *": ("the minute is wrong", "…"),
    f"*/{'9' * 200} * * * *": ("the minute is wrong",),
    f"{'0,' * 200_000}0 * * * *": ("must be at most 256 characters; it has 400009",),
    # Steps.
    "*/0 * * * *": ("the minute is wrong", "a step is 1 or more"),
    "*/90 * * * *": ("the minute is wrong: '*/90' is once an hour", "interval 5400s"),
    "0/120 * * * *": ("'0/120' is once an hour", "interval 7200s"),
    "0-59/90 * * * *": ("interval 5400s",),
    "*/60 * * * *": ("'*/60' is once an hour: write 0 for that",),
    "0 */36 * * *": ("the hour is wrong: '*/36' is once a day", "interval 129600s"),
    "0 */24 * * *": ("'*/24' is once a day: write 0 for that",),
    "*/90 * * * * *": ("the second is wrong: '*/90' is once a minute", "interval 90s"),
    "0 0 */40 * *": ("the day-of-month is wrong: its steps are 1 to 31",),
    "0 0 1 */13 *": ("the month is wrong: its steps are 1 to 12",),
    "* * * * * */15": ("the day-of-week is wrong", "of six fields the first one is the second"),
    # Ranges that run backwards, but for days of the week.
    "0 22-6 * * *": ("the hour is wrong", "write '22-23,0-6'"),
    "50-10 * * * *": ("write '50-59,0-10'",),
    "0 0 * nov-feb *": ("write 'nov-dec,jan-feb'",),
    "0 0 * 11-2 *": ("write '11-12,1-2'",),
    # Quartz, Spring, AWS.
    "0 0 12 ? * MON-FRI *": ("has 7 fields", "write '0 0 12 ? * MON-FRI'", "start_time and end_time"),
    "0 0 12 ? * 2-6 2027": ("write '0 0 12 ? * mon-fri', where 1 is Monday and not Sunday",),
    "0 0 12 ? * 6L 2027-2030": ("write '0 0 12 ? * 5L'",),
    "0 10 * * ? *": ("a year as its last field, as in AWS: write '0 10 * * ?'",),
    "15 10 ? * 6L 2022-2023": ("write '15 10 ? * 5L'",),
    "0/15 8-17 ? * MON-FRI *": ("write '0/15 8-17 ? * MON-FRI'",),
    "0 9 * * 1 2027": ("write '0 9 * * 1'",),
    "cron(0 10 * * ? *)": ("is written without cron(…)", "write '0 10 * * ?'"),
    "cron(0 12 * * 1)": ("write '0 12 * * 1'",),
    "rate(5 minutes)": ("interval 300s",),
    "rate(1 day)": ("interval 86400s",),
    "at(2027-12-01T00:00:00)": ("create a task with execution_time",),
    "? * * * *": ("the minute is wrong", "write *"),
    "0 9 * * MONL": ("the day-of-week is wrong", "not 'monl'; write '1L'"),
    "0 9 * * FRIDAYL": ("write '5L'",),
    "0 9 * * mon#L": ("write '1L'",),
    "0 9 * * L": ("write sat", "6L"),
    "0 0 L-3 * *": ("the day-of-month is wrong", "not 'L-3'; days before the last one are not supported"),
    "0 0 15W * *": ("the day-of-month is wrong", "not '15W'", "write '15', or LW"),
    "0 0 1W * *": ("write '1', or LW",),
    "0 9 * * MONDAY": ("the day-of-week is wrong", "not 'monday'; write 'mon'"),
    "0 9 * * MONDAY-FRIDAY": ("write 'mon-fri'",),
    "0 9 * * tues,thurs": ("write 'tue'",),
    "0 9 * * fri#6": ("# is followed by 1 to 5",),
    "0 9 * * fri#02": ("not 'fri#02'; # is followed by 1 to 5",),
    "0 9 * * 05L": ("the day-of-week is wrong", "not '05L'"),
    "0 9 * * 9-1": ("the day-of-week is wrong", "not '9-1'"),
    "0 9 * * fri-mon/0": ("not 'fri-mon/0'; a step is 1 or more",),
    "0 0 15,L/2 * *": ("the day-of-month is wrong", "not 'L/2'"),
    "0 0 LW/2 * *": ("the day-of-month is wrong", "not 'LW/2'"),
    # Jenkins, OpenBSD, Go, crontabs.
    "H/15 * * * *": ("the minute is wrong", "Jenkins", "write, for example, '*/15', and use jitter"),
    "H(0-29)/10 * * * *": ("write, for example, '0-29/10'",),
    "H H * * *": ("write, for example, '0'",),
    "0~30 * * * *": ("use jitter",),
    "@reboot": ("does not support @reboot",),
    "@every 5m": ("instead of @every, give interval 300s",),
    "@every 1h30m": ("give interval 5400s",),
    "@fortnightly": ("or one of @yearly",),
    "TZ=Europe/Lisbon 0 9 * * *": ("give 'Europe/Lisbon' as time_zone, and '0 9 * * *' as cron",),
    "CRON_TZ=UTC 0 9 * * *": ("give 'UTC' as time_zone",),
    "0 9 * * * # each day": ("ends with a comment: write '0 9 * * *'",),
    "0 9 * * * /usr/bin/backup --all": ("ends with a command", "write '0 9 * * *'"),
    "0 9 * * * root /bin/backup": ("write '0 9 * * *'",),
    "0 9, 17 * * *": ("has spaces in a field: write '0 9,17 * * *'",),
    "0 9 - 17 * * *": ("write '0 9-17 * * *'",),
    "0 9 * * 1\u20135": ("write '0 9 * * 1-5'",),
    "\uff0a/5 * * * *": ("write '*/5 * * * *'",),
    "'0 9 * * *'": ("is in quotes: write '0 9 * * *'",),
    "\u201c0 9 * * *\u201d": ("is in quotes: write '0 9 * * *'",),
    # systemd, iCalendar, durations.
    "Mon..Fri *-*-* 10:00": ("systemd OnCalendar", "write '0 10 * * mon-fri'"),
    "*-*-* 04:00:00": ("write '0 4 * * *'",),
    "*-*-01 00:00": ("write '0 0 1 * *'",),
    "Sat,Sun 9:05": ("write '5 9 * * sat,sun'",),
    "*:0/15": ("write '0/15 * * * *'",),
    "2027..2030-*-* 10:00": ("write, for example, '0 10 * * mon-fri'",),
    "daily": ("write '@daily'",),
    "quarterly": ("write '0 0 1 1,4,7,10 *'",),
    "FREQ=WEEKLY;BYDAY=MO": ("iCalendar",),
    "PT5M": ("give interval 300s",),
    "5m": ("give interval 300s",),
    "every 5 minutes": ("give interval 300s",),
    # What has no name.
    "* * * *": ("has 4 fields, not 5",),
    "* * * * * * * *": ("has 8 fields, not 5",),
    "0 9 * * 1 30": ("the day-of-week is wrong", "of six fields the first one is the second"),
    "1 2 3 4 5d": ("the day-of-week is wrong",),
    # Dates that do not exist.
    "0 0 30 2 *": ("never matches: there is no such date",),
    "0 0 31 4,6,9,11 *": ("never matches",),
    "0 0 */31 * sun#2": ("never matches",),
}


@pytest.mark.parametrize("given", INSTEAD, ids=lambda given: given[:40])
def test_the_syntax_of_another_program_is_refused_with_what_to_write_here(given: str) -> None:
    (problem,) = recurrence.problems(recurrence.Spec(cron=given), NOW)
    assert problem.field == "cron"
    for part in INSTEAD[given]:
        assert part in problem.description
    assert len(problem.description) < 600


@pytest.mark.parametrize("given", INSTEAD, ids=lambda given: given[:40])
def test_a_proposed_expression_is_valid(given: str) -> None:
    (problem,) = recurrence.problems(recurrence.Spec(cron=given), NOW)
    _, said, proposed = problem.description.partition("write '")
    if said and (cron := proposed.partition("'")[0]).count(" ") >= 4:
        assert recurrence.problems(recurrence.Spec(cron=cron), NOW) == []


WORDS = (
    "* ? L LW 15W L-3 mon FRI-MON jan */5 0/7 1-5 5-1 0 5 59 60 99 2027 H ~ , - / # fri#2 5L .. *-*-* 10:00 @every "
    "@daily rate( cron( ) TZ=UTC 1h 30m minutes every PT5M ' \" FREQ= root \u2013 \uff0a \u0663 \0"
)
TOKENS = strategies.sampled_from([*WORDS.split(" "), "\t", "9" * 50])


@hypothesis.settings(max_examples=1_500, deadline=None, database=None, derandomize=True)
@hypothesis.given(
    strategies.one_of(
        strategies.lists(TOKENS, max_size=9).map(" ".join),
        strategies.lists(TOKENS, max_size=20).map("".join),
        strategies.text(max_size=300),
        strategies.text("0123456789*/-,?#LW msh", max_size=300),
    )
)
def test_whatever_is_given_is_read_or_refused_by_name(given: str) -> None:
    problems = recurrence.problems(recurrence.Spec(cron=given), NOW)
    assert {problem.field for problem in problems} <= {"cron"}
    assert all(problem.description and len(problem.description) < 700 for problem in problems)
    if not problems:
        assert next(recurrence.occurrences(recurrence.Spec(cron=given), NOW)).nominal > NOW


@pytest.mark.parametrize("unit", ["0,", "1-", "*/", "1h", "1m ", "5 ", "(", "a..", "mon,", "L-", "H(1", "\u2013", "' "])
def test_a_long_text_costs_no_more_than_its_length(unit: str) -> None:
    began = time.process_time()
    for given in (unit * 256, f"{unit * 100}!", f"! {unit * 50} * * * *", f"{unit * 60} * * * *"):
        recurrence.problems(recurrence.Spec(cron=given[:256]), NOW)
    assert time.process_time() - began < 0.2


def test_a_stored_rule_that_is_refused_today_continues() -> None:
    # Such were accepted, and are hourly.
    hourly = recurrence.Spec(cron="*/90 * * * *")
    assert recurrence.problems(hourly, NOW)
    assert next(recurrence.occurrences(hourly, NOW)).nominal == NOW + datetime.timedelta(hours=1)
