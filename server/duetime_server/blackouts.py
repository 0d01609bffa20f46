"""Blackouts, from protobuf and back."""

import datetime
from collections.abc import Sequence

from duetime.v1 import schedule_pb2
from duetime_core import quoting, recurrence
from duetime_core.recurrence.spec import DAYS
from duetime_server import violations

_DAYS = {**{day: number for number, day in enumerate(DAYS)}, **{day[:3]: number for number, day in enumerate(DAYS)}}


def read(given: Sequence[schedule_pb2.Blackout], wrong: violations.Violations) -> tuple[recurrence.Blackout, ...]:
    """Reads blackouts. What they lack, or have too much, `recurrence.problems` tells."""
    found = []
    for number, blackout in enumerate(given):
        with wrong.within(f"blackouts[{number}]."):
            found.append(_read(blackout, wrong))
    return tuple(found)


def _read(blackout: schedule_pb2.Blackout, wrong: violations.Violations) -> recurrence.Blackout:
    first_date = _date(blackout, "first_date", wrong)
    is_weekly = bool(blackout.from_time or blackout.until_time)
    behavior = blackout.behavior or recurrence.BlackoutBehavior.SKIP
    if behavior not in list(recurrence.BlackoutBehavior):
        wrong.add("behavior", f"must be skip or move, not {quoting.shortened(behavior)!r}")
        behavior = recurrence.BlackoutBehavior.SKIP
    return recurrence.Blackout(
        days=_days(blackout.days, wrong) if is_weekly else frozenset(),
        from_time=_time(blackout, "from_time", wrong),
        until_time=_time(blackout, "until_time", wrong),
        first_date=first_date,
        last_date=_date(blackout, "last_date", wrong) or first_date,
        behavior=recurrence.BlackoutBehavior(behavior),
    )


def _days(given: Sequence[str], wrong: violations.Violations) -> frozenset[int]:
    for day in given:
        if day.lower() not in _DAYS:
            wrong.add("days", f"names {quoting.shortened(day)!r}, which is not one of {', '.join(DAYS)}")
    return frozenset(_DAYS.get(day.lower(), 0) for day in given) or frozenset(range(len(DAYS)))


def _time(blackout: schedule_pb2.Blackout, name: str, wrong: violations.Violations) -> datetime.time | None:
    text: str = getattr(blackout, name)
    if not text:
        return None
    try:
        read = datetime.time.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.tzinfo is not None:
        wrong.add(name, f"must be a time of day such as 22:00, not {quoting.shortened(text)!r}")
        return None
    return read


def _date(blackout: schedule_pb2.Blackout, name: str, wrong: violations.Violations) -> datetime.date | None:
    text: str = getattr(blackout, name)
    if not text:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        wrong.add(name, f"must be a date such as 2027-12-24, not {quoting.shortened(text)!r}")
        return None


def write(blackout: recurrence.Blackout) -> schedule_pb2.Blackout:
    """Returns a blackout as the API shows it."""
    return schedule_pb2.Blackout(
        days=[DAYS[number] for number in sorted(blackout.days)],
        from_time="" if blackout.from_time is None else blackout.from_time.isoformat("auto"),
        until_time="" if blackout.until_time is None else blackout.until_time.isoformat("auto"),
        first_date="" if blackout.first_date is None else blackout.first_date.isoformat(),
        last_date="" if blackout.last_date is None else blackout.last_date.isoformat(),
        behavior=blackout.behavior,
    )
