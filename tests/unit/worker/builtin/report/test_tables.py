"""A report as CSV, with names that callers chose freely."""

import csv
import datetime
import io
import zoneinfo

import pytest

from duetime_core.model import statistics
from duetime_worker.builtin.report import period, tables

DAY = period.Period(*(datetime.datetime(2026, 11, day, tzinfo=zoneinfo.ZoneInfo("UTC")) for day in (26, 27)))

FORMULAS = [
    f"{before}{sign}1+1"
    for before in (
        "",
        " ",
        "  \u00a0\u3000",
        "\ufeff",
        "\u200b",
        "'",
        '"',
        "''",
        "\"'",
        "`",
        "“",
        " ' ",
        "\x00",
        "\x1b",
        "\u2028",
    )
    for sign in "=+-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻−"
]
CONTROLS = [f"{control}{rest}" for control in "\t\r\n\x00\x0b\x1b\x7f\x85" for rest in ("", "1", "name", " =1")]
NAMES = ["Send Email", "a=1", "1+1", "ünïcode", "日本", "$import", "(a)", "1e5", "", "x;y", 'say "so"', "a\nb"]


def keys(*names: str) -> tuple[bytes, list[str]]:
    """Returns the table for these names, also as queues, and the keys as a CSV reader parses them."""
    lines = dict.fromkeys(names, statistics.NOTHING)
    written = tables.write(DAY, statistics.Statistics(statistics.NOTHING, {}, lines, lines, [], None))
    rows = list(csv.DictReader(io.StringIO(written.decode(), newline="")))
    by_group = [[row["key"] for row in rows if row["group"] == group] for group in ("name", "queue")]
    assert by_group[0] == by_group[1]
    return written, by_group[0]


@pytest.mark.parametrize("name", [*FORMULAS, *CONTROLS], ids=repr)
def test_no_name_is_a_formula(name: str) -> None:
    (key,) = keys(name)[1]
    assert key.startswith("'")
    assert key.replace("'", "") == name.replace("'", "")


def test_other_names_are_unchanged() -> None:
    assert keys(*NAMES)[1] == NAMES


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_no_name_ends_its_cell_with_any_separator(separator: str) -> None:
    written, _ = keys(f"x{separator}=1+1", f'y"{separator}=1+1', f"z\n{separator}=1+1")
    for row in csv.reader(io.StringIO(written.decode(), newline=""), delimiter=separator):
        assert not [cell for cell in row if cell.lstrip(' "\n').startswith("=")]
