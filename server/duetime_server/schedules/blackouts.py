"""Reads blackouts from protobuf, and writes them."""

import datetime
import re
from collections.abc import Sequence

from duetime.v1 import schedule_pb2
from duetime_core.model import quoting, recurrence
from duetime_core.model.recurrence.spec import DAYS
from duetime_core.model.recurrence.validation import MOST_BLACKOUTS
from duetime_server.rpc import fields, violations

_MIN_LETTERS = 3
"""Of a day's name."""
_MAX_DAYS = 100
"""Names of days in one blackout, with repetitions."""
_END_OF_DAY = re.compile(r"24(:?00){0,2}(\.0+)?", re.ASCII)


def read(given: Sequence[schedule_pb2.Blackout], problems: violations.Violations) -> tuple[recurrence.Blackout, ...]:
    """Reads blackouts; `recurrence.problems` checks which of their fields are set together."""
    if len(given) > MOST_BLACKOUTS:
        problems.add("blackouts", f"must be at most {MOST_BLACKOUTS}; there are {len(given)}")
        return ()
    found = []
    for number, blackout in enumerate(given):
        with problems.within(f"blackouts[{number}]."):
            found.append(_read(blackout, problems))
    return tuple(found)


def _read(blackout: schedule_pb2.Blackout, problems: violations.Violations) -> recurrence.Blackout:
    first_date, last_date = _date(blackout, "first_date", problems), _date(blackout, "last_date", problems)
    from_time, until_time = _time(blackout, "from_time", problems), _time(blackout, "until_time", problems)
    is_of_days = bool(blackout.days) and not (blackout.from_time or blackout.until_time)
    is_weekly = bool(blackout.days or blackout.from_time or blackout.until_time)
    if is_of_days:
        from_time = until_time = datetime.time()  # from midnight to midnight
    return recurrence.Blackout(
        days=_days(blackout.days, problems) if is_weekly else frozenset(),
        from_time=from_time,
        until_time=until_time,
        first_date=first_date,
        last_date=last_date or first_date,
        behavior=fields.choice(blackout, "behavior", recurrence.BlackoutBehavior.SKIP, problems),
    )


def _days(given: Sequence[str], problems: violations.Violations) -> frozenset[int]:
    found: set[int] = set()
    if len(given) > _MAX_DAYS:
        problems.add("days", f"must be at most {_MAX_DAYS}; there are {len(given)}")
        return frozenset()
    for text in given:
        for part in text.split(",", _MAX_DAYS):
            first, _, last = (_day(end) for end in part.partition("-"))
            if first is None or (last is None and "-" in part):
                problems.add(
                    "days",
                    f"must be one of {', '.join(DAYS)}, or a range such as mon-fri, not {quoting.shortened(part)!r}",
                )
                return frozenset(range(len(DAYS)))
            last = first if last is None else last
            found |= {number % len(DAYS) for number in range(first, last + 1 + len(DAYS) * (last < first))}
    return frozenset(found or range(len(DAYS)))


def _day(text: str) -> int | None:
    text = text.strip().lower()
    named = (number for number, day in enumerate(DAYS) if len(text) >= _MIN_LETTERS and day.startswith(text))
    return next(named, None)


def _time(blackout: schedule_pb2.Blackout, name: str, problems: violations.Violations) -> datetime.time | None:
    text: str = getattr(blackout, name)
    if not text:
        return None
    if _END_OF_DAY.fullmatch(text) and name == "until_time":
        return datetime.time()
    try:
        read = datetime.time.fromisoformat(f"0{text}" if text[1:2] == ":" else text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is not None or _END_OF_DAY.fullmatch(text):
        until = "; a day may end at 24:00" if name == "until_time" else ""
        problems.add(name, f"must be a time of day such as 22:00, not {quoting.shortened(text)!r}{until}")
        return None
    return read


def _date(blackout: schedule_pb2.Blackout, name: str, problems: violations.Violations) -> datetime.date | None:
    text: str = getattr(blackout, name)
    if not text:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        problems.add(name, f"must be a date such as 2027-12-24, not {quoting.shortened(text)!r}")
        return None


def write(blackout: recurrence.Blackout) -> schedule_pb2.Blackout:
    """Returns a blackout as protobuf."""
    return schedule_pb2.Blackout(
        days=[DAYS[number] for number in sorted(blackout.days)],
        from_time="" if blackout.from_time is None else blackout.from_time.isoformat("auto"),
        until_time="" if blackout.until_time is None else blackout.until_time.isoformat("auto"),
        first_date="" if blackout.first_date is None else blackout.first_date.isoformat(),
        last_date="" if blackout.last_date is None else blackout.last_date.isoformat(),
        behavior=schedule_pb2.Blackout.Behavior.Value(blackout.behavior),
    )
