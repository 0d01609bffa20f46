"""A report as CSV."""

import csv
import dataclasses
import io
from collections.abc import Iterator

from duetime_core import statistics
from duetime_worker.report.period import Period

_COUNTS = ("ran", "succeeded", "failed", "retried")
_PERCENTILES = tuple(field.name for field in dataclasses.fields(statistics.Percentiles))
HEADER = (
    "group", "key", *_COUNTS,
    *(f"{kind}_{name}_seconds" for kind in ("lateness", "duration") for name in _PERCENTILES),
)  # fmt: skip


def write(period: Period, found: statistics.Statistics) -> bytes:
    """Returns the table: a line for the total, for each hour or day, for each name and for each queue."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(HEADER)
    writer.writerow(_row("total", "", found.total))
    for moment, line in period.filled(found.over_time):
        writer.writerow(_row(period.unit, moment.isoformat(), line))
    for group, lines in (("name", found.by_name), ("queue", found.by_queue)):
        for key, line in lines.items():
            writer.writerow(_row(group, _inert(key), line))
    return written.getvalue().encode()


def _row(group: str, key: str, line: statistics.Line) -> Iterator[object]:
    yield group
    yield key
    yield from (getattr(line, name) for name in _COUNTS)
    for measured in (line.lateness, line.duration):
        for name in _PERCENTILES:
            yield "" if measured is None else f"{getattr(measured, name):.6f}"


def _inert(text: str) -> str:
    """Returns a name that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
