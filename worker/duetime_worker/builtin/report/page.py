"""A report as an HTML page, and as the text of a mail."""

import base64
import datetime
import functools
from collections.abc import Mapping

import jinja2

from duetime_core.model import statistics
from duetime_worker.builtin.report.period import Period

_MAX_FAILING = 10


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("duetime_worker.builtin.report"),
        autoescape=jinja2.select_autoescape(("html",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"seconds": _seconds, "count": lambda value: f"{value:,}"}
    return templates


def html(title: str, period: Period, found: statistics.Statistics, images: Mapping[str, str]) -> str:
    """Returns the page; `images` maps the names of charts to their URLs."""
    return _templates().get_template("report.html").render(images=images, **_context(title, period, found))


def text(title: str, period: Period, found: statistics.Statistics) -> str:
    """Returns the totals as plain text, for mail clients without HTML."""
    return _templates().get_template("report.txt").render(**_context(title, period, found))


def embedded(charts: Mapping[str, bytes]) -> dict[str, str]:
    """Returns the charts as data URLs."""
    return {name: f"data:image/png;base64,{base64.b64encode(png).decode()}" for name, png in charts.items()}


def _context(title: str, period: Period, found: statistics.Statistics) -> dict[str, object]:
    failing = sorted(found.by_name.items(), key=lambda each: (-each[1].failed, -each[1].retried, each[0]))
    is_cut = found.log_begins is None or found.log_begins > period.start
    return {
        "title": title,
        "period": period,
        "found": found,
        "failing": [(name, line) for name, line in failing if line.failed or line.retried][:_MAX_FAILING],
        # An empty log is complete if the period began after it.
        "log_begins": found.log_begins if is_cut else None,
        "zone": period.start.tzinfo,
        "over_time": [(_shown(moment, period), line) for moment, line in period.filled(found.over_time)],
    }


def _shown(moment: datetime.datetime, period: Period) -> str:
    # A repeated hour (DST) has another abbreviation the second time.
    return f"{moment:%Y-%m-%d %H:%M %Z}" if period.unit == "hour" else f"{moment:%Y-%m-%d}"


def _seconds(value: float | datetime.timedelta | None) -> str:
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, datetime.timedelta) else value
    if seconds >= 100:
        return f"{seconds:,.0f} s"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
