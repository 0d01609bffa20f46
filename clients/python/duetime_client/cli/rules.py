"""The options that say when recurring work is due."""

import datetime
from typing import Annotated, Any

import typer

import duetime_client
from duetime_client.cli import durations, moments


def _time(help_text: str) -> Any:
    return typer.Option(parser=moments.parse_time, metavar="TIME", help=help_text)


def _span(help_text: str) -> Any:
    return typer.Option(parser=durations.parse, metavar="DURATION", help=help_text)


def parse_blackout(text: str) -> duetime_client.Blackout:
    """Returns the blackout of a text such as `22:00-06:00`, `sat,sun 00:00-24:00` or `2027-12-24..2027-12-26 move`."""
    *words, last = text.split()
    behavior: Any = last if last in ("skip", "move") else ""
    words = words if behavior else [*words, last]
    if len(words) == 1 and ".." in words[0]:
        first, _, until = words[0].partition("..")
        return duetime_client.Blackout(first_date=first, last_date=until, behavior=behavior)
    if len(words) in (1, 2) and "-" in words[-1]:
        begin, _, end = words[-1].partition("-")
        days = words[0].split(",") if len(words) == 2 else ()
        return duetime_client.Blackout(
            days=days, from_time=begin, until_time=end.replace("24:00", "00:00"), behavior=behavior
        )
    raise typer.BadParameter(
        f"{text!r} is not a blackout such as '22:00-06:00', 'sat,sun 00:00-24:00' or '2027-12-24..2027-12-26 move'"
    )


Cron = Annotated[str | None, typer.Option(help="When: such as '0 9 * * mon', or @daily.", show_default=False)]
Every = Annotated[
    datetime.timedelta | None,
    typer.Option(
        "--every",
        parser=durations.parse,
        metavar="DURATION",
        help="Instead of --cron: the time from one to the next.",
    ),
]
Anchor = Annotated[datetime.datetime | None, _time("A moment that --every counts from.")]
Zone = Annotated[
    str | None,
    typer.Option("--zone", help="IANA's time zone, such as Europe/Lisbon; by default UTC.", show_default=False),
]
Start = Annotated[
    datetime.datetime | None,
    typer.Option("--start", parser=moments.parse_time, metavar="TIME", help="Not before that."),
]
End = Annotated[
    datetime.datetime | None, typer.Option("--end", parser=moments.parse_time, metavar="TIME", help="Not after that.")
]
Missing = Annotated[
    str | None, typer.Option("--missing-time", help="A time the clock leaves out: shift or skip.", show_default=False)
]
Repeated = Annotated[
    str | None,
    typer.Option("--repeated-time", help="A time the clock brings twice: first, last, both.", show_default=False),
]
Jitter = Annotated[datetime.timedelta | None, _span("Up to so much later each time.")]
Blackouts = Annotated[
    list[Any] | None,
    typer.Option(
        "--blackout",
        parser=parse_blackout,
        metavar="TEXT",
        help="When nothing is due: 'sat,sun 00:00-24:00', '2027-12-24..2027-12-26 move'.",
    ),
]
Overlap = Annotated[
    str | None, typer.Option(help="While an earlier run goes on: allow, skip or queue.", show_default=False)
]
CatchUp = Annotated[str | None, typer.Option(help="What was missed: last, all or none.", show_default=False)]
Window = Annotated[datetime.timedelta | None, _span("How late is too late to catch up.")]


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
    """Returns those that are given, by the names that the client has for them."""
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
    """Returns those values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
