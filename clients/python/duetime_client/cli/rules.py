"""The options for a schedule's rule."""

import datetime
import re
from typing import Annotated, Any

import typer

import duetime_client
from duetime_client.cli import durations, moments, quoting

_DATES = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?", re.ASCII)
_HOURS = re.compile(r"(\d{1,2}(?::[\d:.]+)?)-(\d{1,2}(?::[\d:.]+)?)", re.ASCII)
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
_DAYS = re.compile(rf"(?:{_DAY}(?:-{_DAY})?(?:,|$))*", re.IGNORECASE)


def _time(help_text: str) -> Any:
    return typer.Option(parser=moments.parse_time, metavar="TIME", help=help_text)


def _duration(help_text: str) -> Any:
    return typer.Option(parser=durations.parse, metavar="DURATION", help=help_text)


def parse_blackout(text: str) -> duetime_client.Blackout:
    """Returns the blackout of a text such as `22:00-06:00`, `sat,sun`, `mon-fri 9:00-17:00` or `2027-12-24 move`."""
    words = text.split()
    behavior: Any = words.pop() if words and words[-1] in ("skip", "move") else ""
    if len(words) == 1 and (dates := _DATES.fullmatch(words[0])):
        return duetime_client.Blackout(first_date=dates[1], last_date=dates[2] or "", behavior=behavior)
    hours = _HOURS.fullmatch(words.pop()) if words and _HOURS.fullmatch(words[-1]) else None
    days = "".join(words)
    if (hours or days) and _DAYS.fullmatch(days):
        begin, end = hours.groups() if hours else ("", "")
        return duetime_client.Blackout(
            days=days.split(",") if days else (), from_time=begin, until_time=end, behavior=behavior
        )
    raise typer.BadParameter(
        f"{quoting.quoted(text)} is not a blackout such as '22:00-06:00', 'sat,sun', 'mon-fri 9:00-17:00', "
        "'2027-12-24' or '2027-12-24..2027-12-26 move'"
    )


Cron = Annotated[
    str | None,
    typer.Option(metavar="EXPRESSION", help="When, such as '0 9 * * mon' or @daily.", show_default=False),
]
Every = Annotated[
    datetime.timedelta | None,
    typer.Option(
        "--every",
        parser=durations.parse,
        metavar="DURATION",
        help="Instead of --cron: the interval.",
    ),
]
Anchor = Annotated[datetime.datetime | None, _time("A time that --every counts from.")]
Zone = Annotated[
    str | None,
    typer.Option(
        "--zone",
        metavar="ZONE",
        help="The IANA time zone, such as Europe/Lisbon; by default UTC.",
        show_default=False,
    ),
]
Start = Annotated[
    datetime.datetime | None,
    typer.Option("--start", parser=moments.parse_time, metavar="TIME", help="No occurrences before this time."),
]
End = Annotated[
    datetime.datetime | None,
    typer.Option("--end", parser=moments.parse_time, metavar="TIME", help="No occurrences after this time."),
]
Missing = Annotated[
    str | None,
    typer.Option(
        "--missing-time",
        metavar="POLICY",
        help="For a local time that a DST transition skips: shift or skip.",
        show_default=False,
    ),
]
Repeated = Annotated[
    str | None,
    typer.Option(
        "--repeated-time",
        metavar="POLICY",
        help="For a local time that a DST transition repeats: auto, first, last or both.",
        show_default=False,
    ),
]
Jitter = Annotated[datetime.timedelta | None, _duration("Delay each occurrence at random, by up to this.")]
Blackouts = Annotated[
    list[Any] | None,
    typer.Option(
        "--blackout",
        parser=parse_blackout,
        metavar="TEXT",
        help="No occurrences then: 'sat,sun', 'mon-fri 22:00-6:00', '2027-12-24..2027-12-26 move'.",
    ),
]
Overlap = Annotated[
    str | None,
    typer.Option(
        metavar="POLICY", help="While an earlier run is unfinished: allow, skip or queue.", show_default=False
    ),
]
CatchUp = Annotated[
    str | None,
    typer.Option(metavar="POLICY", help="Which missed occurrences to run: last, all or none.", show_default=False),
]
Window = Annotated[datetime.timedelta | None, _duration("How late a missed occurrence may still run.")]


def rule(
    cron: str | None,
    every: datetime.timedelta | None,
    anchor: datetime.datetime | None,
    zone: str | None,
    start: datetime.datetime | None,
    end: datetime.datetime | None,
    missing_time: str | None,
    repeated_time: str | None,
    jitter: datetime.timedelta | None,
    blackouts: list[Any] | None,
) -> dict[str, Any]:
    """Returns the options that are given, by the client's names for them."""
    return given(
        cron=cron,
        interval=every,
        anchor=anchor,
        time_zone=zone,
        start_time=start,
        end_time=end,
        missing_time=missing_time,
        repeated_time=repeated_time,
        jitter=jitter,
        blackouts=blackouts or None,
    )


def given(**values: Any) -> dict[str, Any]:
    """Returns the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
