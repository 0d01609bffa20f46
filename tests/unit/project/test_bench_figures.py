"""Figures of the benchmarks: percentiles, goals and reports."""

import json
import pathlib

import pytest

from bench import markdown, percentiles, report


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (99.9, 100), (100, 100)])
def test_a_percentile_is_a_measured_value(percent: float, expected: float) -> None:
    assert percentiles.of(list(range(100, 0, -1)), percent) == expected


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values were measured"):
        percentiles.of([], 50)


@pytest.mark.parametrize(
    ("least", "aim", "verdicts"),
    [(1.5, 2.5, {1.4: "below", 1.5: "ok", 2.5: "aim"}), (25, 10, {26: "below", 25: "ok", 10: "aim"})],
    ids=["the more the better", "the less the better"],
)
def test_a_goal_knows_whether_less_is_better(least: float, aim: float, verdicts: dict[float, str]) -> None:
    goal = report.Goal(least, aim)
    assert {value: goal.verdict(value) for value in verdicts} == verdicts


def test_a_report_is_written_with_every_round_and_read_back_as_a_table(tmp_path: pathlib.Path) -> None:
    measured = report.Report("drain")
    for rate, other in ((3000, 1000), (1000, 1000), (2000, 500)):
        measured.add("Duetime", rate, "tasks/s")
        measured.compare("times as fast", rate, other, goal=report.Goal(1.5, 2.5))
    written = json.loads(measured.write(tmp_path, {"cores": 2}).read_text())
    assert written["machine"] == {"cores": 2}
    assert written["figures"][0]["rounds"] == [3000, 1000, 2000]
    lines = markdown.table(written).splitlines()
    assert "| Duetime | tasks/s | 2,000 | 1,000 | 3,000 | 3 |  |  |" in lines
    assert "| times as fast | times | 3 | 1 | 4 | 3 | 1.5 | 2.5 |" in lines
