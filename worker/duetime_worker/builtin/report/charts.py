"""The charts of a report as PNG. Each has its own figure, not pyplot's global state, and needs no display."""

import datetime
import io
from typing import Any

from matplotlib import axes, dates, figure
from matplotlib.backends import backend_agg

from duetime_core.model import statistics
from duetime_worker.builtin.report.period import Period

Lines = dict[datetime.datetime, statistics.Line]

_GREEN, _RED, _YELLOW, _BLUES = "#2e7d4f", "#c0392b", "#d9a400", ("#9ec5e8", "#4a90c4", "#1f4e79")
_MAX_NAMES = 12


def over_time(period: Period, lines: Lines) -> bytes:
    """Returns the chart of how runs ended over time."""
    drawn, plot = _figure()
    filled = period.filled(lines)
    moments = [moment for moment, _ in filled]
    width = (moments[1] - moments[0]) * 0.8 if len(moments) > 1 else 0.8
    bottom = [0.0] * len(moments)
    for label, color in (("succeeded", _GREEN), ("retried", _YELLOW), ("failed", _RED)):
        heights = [float(getattr(line, label)) for _, line in filled]
        plot.bar(moments, heights, width=width, bottom=bottom, label=label, color=color, align="edge")  # type: ignore[arg-type]
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    plot.set_ylabel("runs")
    return _finish(drawn, plot, period)


def lateness(period: Period, lines: Lines) -> bytes:
    """Returns the chart of how late runs began over time."""
    drawn, plot = _figure()
    measured = [(moment, line.lateness) for moment, line in period.filled(lines)]
    for label, color in zip(("p50", "p95", "p99"), _BLUES, strict=True):
        points = [(moment, getattr(found, label)) for moment, found in measured if found is not None]
        moments: Any = [moment for moment, _ in points]  # typed as numbers
        plot.plot(moments, [value for _, value in points], "o-", label=label, color=color)
    plot.set_ylabel("seconds late")
    plot.set_ylim(bottom=0)
    return _finish(drawn, plot, period)


def durations(by_name: dict[str, statistics.Line]) -> bytes:
    """Returns the chart of how long runs took, for the slowest names."""
    found = [(name, line.duration) for name, line in by_name.items() if line.duration is not None]
    longest = sorted(found, key=lambda each: each[1].p95, reverse=True)[:_MAX_NAMES][::-1]
    drawn, plot = _figure(height=1 + 0.4 * max(len(longest), 2))
    # By position: names that shorten to the same text would share a bar.
    positions = list(range(len(longest)))
    plot.barh(positions, [found.p95 for _, found in longest], color=_BLUES[0], label="p95")
    plot.barh(positions, [found.p50 for _, found in longest], color=_BLUES[2], label="p50", height=0.4)
    plot.set_yticks(positions, [_shortened(name) for name, _ in longest])
    plot.set_xlabel("seconds")
    return _save(drawn, plot)


def _figure(height: float = 2.8) -> tuple[figure.Figure, axes.Axes]:
    drawn = figure.Figure(figsize=(8, height), layout="constrained")
    backend_agg.FigureCanvasAgg(drawn)
    plot = drawn.add_subplot()
    plot.grid(visible=True, axis="both", alpha=0.3)
    plot.set_axisbelow(True)
    for side in ("top", "right"):
        plot.spines[side].set_visible(False)
    return drawn, plot


def _finish(drawn: figure.Figure, plot: axes.Axes, period: Period) -> bytes:
    plot.set_xlim(period.start, period.end)  # type: ignore[arg-type]
    locator = dates.AutoDateLocator(tz=period.start.tzinfo)  # type: ignore[no-untyped-call]
    plot.xaxis.set_major_locator(locator)
    formatter = dates.ConciseDateFormatter(locator, tz=period.start.tzinfo)  # type: ignore[no-untyped-call]
    plot.xaxis.set_major_formatter(formatter)
    return _save(drawn, plot)


def _save(drawn: figure.Figure, plot: axes.Axes) -> bytes:
    handles, labels = plot.get_legend_handles_labels()
    if labels:
        plot.legend(handles, labels, frameon=False, ncols=3, fontsize="small")
    written = io.BytesIO()
    drawn.savefig(written, format="png", dpi=144)
    return written.getvalue()


def _shortened(name: str) -> str:
    # To matplotlib a dollar sign begins a formula.
    shown = name if len(name) <= 30 else f"{name[:29]}…"
    return shown.replace("$", r"\$")


def draw(period: Period, found: statistics.Statistics) -> dict[str, bytes]:
    """Returns all charts, by name."""
    return {
        "runs": over_time(period, found.over_time),
        "lateness": lateness(period, found.over_time),
        "durations": durations(found.by_name),
    }
