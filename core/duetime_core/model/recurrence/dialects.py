"""The recurrence syntax of other programs, and what to write instead."""

import re
from collections.abc import Callable

from duetime_core.model.recurrence import expression, field

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNIT = "(ms|s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?)?|d(?:ays?)?|w(?:eeks?)?)"
_PART = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?)\s*{_UNIT}", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(rf"(?:P?T?)((?:{_PART.pattern}[\s,]*)+)", re.IGNORECASE | re.ASCII)
_RATE = re.compile(r"rate\(\s*(\d{1,9})\s*(second|minute|hour|day|week)s?\s*\)", re.IGNORECASE | re.ASCII)
_ZONED = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.+)", re.IGNORECASE | re.DOTALL)
_WRAPPED = re.compile(r"cron\((.*)\)", re.IGNORECASE | re.DOTALL)
_QUOTES = "\"'`“”‘’«»"
_YEARS = re.compile(r"\*|\?|[0-9]{4}(?:[-,/][0-9]+)*|\*/[0-9]+", re.ASCII)
_CALENDAR_WORDS = {
    "minutely": "* * * * *",
    "hourly": "@hourly",
    "daily": "@daily",
    "weekly": "0 0 * * mon",
    "monthly": "@monthly",
    "quarterly": "0 0 1 1,4,7,10 *",
    "semiannually": "0 0 1 1,7 *",
    "yearly": "@yearly",
    "annually": "@yearly",
}
_CALENDAR = re.compile(
    r"(?:(?P<days>[a-z]{3,9}(?:(?:\.\.|,|-)[a-z]{3,9})*)\s+)?(?:(?:\*-)?(?P<month>[*\d]{1,2})-(?P<day>[*\d]{1,2})\s+)?"
    r"(?P<hour>[*\d][\d,/]*):(?P<minute>[*\d][\d,/]*)(?::(?P<second>[*\d][\d,/]*))?(?:\s+\S+)?",
    re.IGNORECASE | re.ASCII,
)
_SUNDAY_IS_ONE = re.compile(r"(?<![/#\d])([1-7])(L?)(?!\d)", re.ASCII)


def instead(text: str) -> str | None:
    """Returns the error for an invalid expression if its dialect is recognized; else None."""
    stripped = text.strip()
    return next((said for look in _DIALECTS if (said := look(stripped)) is not None), None)


def _quoted(text: str) -> str | None:
    inner = text.strip(_QUOTES).strip()
    return f"is in quotes: write {inner!r}" if inner != text and _reads(inner) else None


def _zoned(text: str) -> str | None:
    found = _ZONED.fullmatch(text)
    return f"contains a time zone: give {found[1]!r} as time_zone, and {found[2]!r} as cron" if found else None


def _named(text: str) -> str | None:
    name, _, rest = text.lower().partition(" ")
    if name == "@every":
        seconds = _seconds(rest.strip())
        instead = f" {seconds}s" if seconds else ""
        return f"is for clock times: instead of @every, give interval{instead}"
    if name in ("@reboot", "@startup", "@restart"):
        return f"does not support {name}: a schedule is for times; to run once, create a task"
    return None


def _wrapped(text: str) -> str | None:
    if found := _RATE.fullmatch(text):
        return f"is for clock times: instead of rate(…), give interval {int(found[1]) * _UNITS[found[2][0].lower()]}s"
    if text.lower().startswith("at("):
        return "is for recurring times: to run once, create a task with execution_time, or local_time and time_zone"
    if found := _WRAPPED.fullmatch(text):
        inner = found[1].strip(_QUOTES + " ")
        return (
            f"is written without cron(…): {'write ' + repr(inner) if _reads(inner) else instead(inner) or ''}".rstrip(
                ": "
            )
        )
    return None


def _duration(text: str) -> str | None:
    seconds = _seconds(re.sub(r"^every\s+", "", text, flags=re.IGNORECASE))
    return f"is for clock times: for a duration, give interval {seconds}s" if seconds else None


def _rule(text: str) -> str | None:
    if not re.match(r"(RRULE:|FREQ=)", text, re.IGNORECASE):
        return None
    return "is an iCalendar rule, which is not supported: write, for example, '0 9 * * mon', or give interval"


def _comment(text: str) -> str | None:
    before = re.split(r"\s#", text, maxsplit=1)[0].strip()
    return f"ends with a comment: write {before!r}" if before != text and _reads(before) else None


def _spaced(text: str) -> str | None:
    joined = re.sub(r"\s*([,/])\s*", r"\1", re.sub(r"(?<=\w)\s+-\s+(?=\w)", "-", text))
    return f"has spaces in a field: write {joined!r}" if joined != text and _reads(joined) else None


def _typography(text: str) -> str | None:
    plain = re.sub("[\u2010-\u2015\u2212\uff0d]", "-", re.sub("[\u2217\uff0a\u22c6\u2022\u00d7]", "*", text))
    plain = plain.replace("\\*", "*").replace("\uff0c", ",").replace("\uff0f", "/")
    return f"has typographic characters: write {plain!r}" if plain != text and _reads(plain) else None


def _on_calendar(text: str) -> str | None:
    if (word := _CALENDAR_WORDS.get(text.lower())) is not None:
        return f"is not a rule's name: write {word!r}"
    found = _CALENDAR.fullmatch(text)
    if found is None and ".." not in text and "*-*" not in text:
        return None
    said = "is a systemd OnCalendar expression, which is not supported: write"
    if found is not None:
        days = re.sub(r"([a-z]{3})[a-z]*", r"\1", (found["days"] or "*").lower()).replace("..", "-")
        parts = [found["minute"], found["hour"], found["day"] or "*", found["month"] or "*", days]
        plain = [part if part.startswith("*") else re.sub(r"\b0+(?=\d)", "", part) for part in parts]
        second = re.sub(r"^0+(?=\d)", "", found["second"] or "0")
        cron = " ".join(plain if second == "0" else [second, *plain])
        if _reads(cron):
            return f"{said} {cron!r}"
    return f"{said}, for example, '0 10 * * mon-fri'"


def _with_year(text: str) -> str | None:
    fields = text.split()
    if len(fields) == 7 and _YEARS.fullmatch(fields[6]):
        said, kept = "has 7 fields, with a year last, as in Quartz", fields[:6]
    elif (
        len(fields) == 6
        and _YEARS.fullmatch(fields[5])
        and ("?" in (fields[2], fields[4]) or re.match(r"[0-9]{4}", fields[5]))
    ):
        said, kept = "has a year as its last field, as in AWS", fields[:5]
    else:
        return None
    # Where a day may be ?, the week's days count from 1, which is Sunday.
    weekday = _SUNDAY_IS_ONE.sub(_counted_from_zero, kept[-1]) if "?" in kept else kept[-1]
    cron = " ".join([*kept[:-1], weekday])
    write = f": write {cron!r}" if _reads(cron) else ": leave the year out"
    note = ", where 1 is Monday and not Sunday" if weekday != kept[-1] else ""
    return f"{said}{write}{note}; start_time and end_time bound the years"


def _counted_from_zero(found: re.Match[str]) -> str:
    number = int(found[1]) - 1
    return f"{number}L" if found[2] else field.WEEKDAY.names[number].lower()


def _command(text: str) -> str | None:
    fields = text.split()
    cron = " ".join(fields[:5])
    is_command = len(fields) > 5 and re.search(r"[a-zA-Z/.]{3}", " ".join(fields[5:])) is not None
    if not is_command or not _reads(cron) or fields[5].upper()[:3] in field.WEEKDAY.names:
        return None
    return f"ends with a command, as in a crontab: write {cron!r}; the schedule runs its task instead"


_DIALECTS: tuple[Callable[[str], str | None], ...] = (
    _quoted, _zoned, _named, _wrapped, _duration, _rule, _comment, _spaced, _typography, _on_calendar, _with_year,
    _command,
)  # fmt: skip


def _seconds(text: str) -> str | None:
    """Returns the seconds of a duration such as `1h30m` or `PT5M`; None if it is none."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    parts = ((float(number), unit.lower()) for number, unit in _PART.findall(found[1]))
    total = sum(number * (0.001 if unit == "ms" else _UNITS[unit[0]]) for number, unit in parts)
    return f"{total:.9g}" if total else None


def _reads(cron: str) -> bool:
    try:
        return bool(expression.read(cron))
    except ValueError:
        return False
