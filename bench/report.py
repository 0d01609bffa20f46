"""A benchmark's figures from several rounds, as a table and as JSON."""

import dataclasses
import datetime
import json
import pathlib
import statistics
from typing import Any

import rich.box
import rich.console
import rich.table

from bench import machine


@dataclasses.dataclass(frozen=True)
class Goal:
    """The minimum that a figure must reach, and the aim. Smaller is better if the aim is smaller than the minimum."""

    least: float
    aim: float

    def verdict(self, value: float) -> str:
        """Returns `aim` if the value reaches the aim, `ok` if it reaches the minimum, else `below`."""
        sign = -1 if self.aim < self.least else 1
        if sign * value >= sign * self.aim:
            return "aim"
        return "ok" if sign * value >= sign * self.least else "below"


@dataclasses.dataclass
class Figure:
    """One figure, with a value per round."""

    label: str
    unit: str
    goal: Goal | None = None
    values: list[float] = dataclasses.field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        """Returns the figure with all rounds."""
        goal = {} if self.goal is None else {"least": self.goal.least, "aim": self.goal.aim}
        return {
            "label": self.label,
            "unit": self.unit,
            "median": self.median,
            "minimum": min(self.values),
            "maximum": max(self.values),
            "rounds": self.values,
            **goal,
        }


class Report:
    """The figures of one benchmark, in the order in which they were first added."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began = datetime.datetime.now(datetime.UTC)
        self._stolen = machine.StealTime()
        self._figures: dict[str, Figure] = {}

    def add(self, label: str, value: float, unit: str, *, goal: Goal | None = None) -> None:
        """Adds the value of one round."""
        self._figures.setdefault(label, Figure(label, unit, goal)).values.append(value)

    def compare(self, label: str, ours: float, theirs: float, *, goal: Goal | None = None) -> None:
        """Adds the ratio of two values that were measured one after the other in the same round."""
        self.add(label, ours / theirs, "times", goal=goal)

    def write(self, directory: pathlib.Path, described: dict[str, Any]) -> pathlib.Path:
        """Writes the report as JSON and returns the file's path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self._name}.json"
        written = {
            "benchmark": self._name,
            "began": self._began.isoformat(timespec="seconds"),
            "seconds": round((datetime.datetime.now(datetime.UTC) - self._began).total_seconds(), 1),
            "stolen_percent": round(self._stolen.percent, 2),
            "machine": described,
            "figures": [figure.as_json() for figure in self._figures.values()],
        }
        path.write_text(json.dumps(written, indent=2) + "\n")
        return path

    def print(self, console: rich.console.Console) -> None:
        """Prints the report as a table."""
        table = rich.table.Table(
            title=f"{self._name}  ·  {self._stolen.percent:.1f} % of the CPU time was stolen",
            title_justify="left",
            box=rich.box.SIMPLE_HEAD,
        )
        for heading in ("figure", "unit"):
            table.add_column(heading)
        for heading in ("median", "minimum", "maximum", "rounds", "at least", "aim"):
            table.add_column(heading, justify="right")
        table.add_column("")
        for each in self._figures.values():
            bounds = (
                ("", "", "")
                if each.goal is None
                else (number(each.goal.least), number(each.goal.aim), each.goal.verdict(each.median))
            )
            numbers = (number(each.median), number(min(each.values)), number(max(each.values)))
            table.add_row(each.label, each.unit, *numbers, str(len(each.values)), *bounds)
        console.print(table)


def number(value: float) -> str:
    """Returns the number formatted for reading."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
