"""A report as CSV."""

import csv
import dataclasses
import io
import re
import unicodedata
from collections.abc import Iterator

from duetime_core.model import statistics
from duetime_worker.builtin.report.period import Period

_COUNTS = ("ran", "succeeded", "failed", "retried")
_PERCENTILES = tuple(field.name for field in dataclasses.fields(statistics.Percentiles))
_INVISIBLE = frozenset({"Cc", "Cf", "Mn", "Pf", "Pi", "Zl", "Zp", "Zs"})
_SIGNS = frozenset("=+-@\N{MINUS SIGN}")
HEADER = (
    "group", "key", *_COUNTS,
    *(f"{kind}_{name}_seconds" for kind in ("lateness", "duration") for name in _PERCENTILES),
)  # fmt: skip


def write(period: Period, found: statistics.Statistics) -> bytes:
    """Returns the table: a row for the total, and one for each hour or day, name and queue."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(HEADER)
    writer.writerow(_row("total", "", found.total))
    for moment, line in period.filled(found.over_time):
        writer.writerow(_row(period.unit, moment.isoformat(), line))
    for group, lines in (("name", found.by_name), ("queue", found.by_queue)):
        for key, line in lines.items():
            writer.writerow(_row(group, key, line))
    return written.getvalue().encode()


def _row(group: str, key: str, line: statistics.Line) -> Iterator[object]:
    yield group
    yield _escaped(key)
    yield from (getattr(line, name) for name in _COUNTS)
    for measured in (line.lateness, line.duration):
        for name in _PERCENTILES:
            yield "" if measured is None else f"{getattr(measured, name):.6f}"


def _escaped(text: str) -> str:
    """Escapes a name so that no spreadsheet evaluates it as a formula, whatever separator it uses."""
    begins_with_control = unicodedata.category(text[:1] or " ") == "Cc"
    parts = re.split(r"([,;|\t\r\n])", text)
    return "'" * begins_with_control + "".join(f"'{part}" if _is_formula(part) else part for part in parts)


def _is_formula(text: str) -> bool:
    # Spreadsheets skip invisible characters and quotes. Some accept full-width and small forms of the signs.
    first = next((each for each in text if unicodedata.category(each) not in _INVISIBLE and each not in "\"'`"), "")
    return unicodedata.normalize("NFKC", first) in _SIGNS
