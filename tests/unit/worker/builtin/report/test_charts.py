"""The charts of reports."""

from typing import Any

import pytest
from matplotlib import axes

from duetime_core.model import statistics
from duetime_worker.builtin.report import charts


def test_names_with_the_same_beginning_have_separate_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []
    original = axes.Axes.barh

    def barh(self: axes.Axes, y: Any, *args: Any, **options: Any) -> Any:
        bars.append(list(y))
        return original(self, y, *args, **options)

    monkeypatch.setattr(axes.Axes, "barh", barh)
    line = statistics.Line(1, 1, 0, 0, None, statistics.Percentiles(1, 2, 3, 4))
    charts.durations({"x" * 40 + "a": line, "x" * 40 + "b": line})
    assert [len(set(each)) for each in bars] == [2, 2]
