"""`python -m bench.markdown`: prints the last results as the tables of docs/performance.md."""

import json
import pathlib
import sys
from typing import Any

from bench import report
from bench.__main__ import NAMES, RESULTS


def table(written: dict[str, Any]) -> str:
    """Returns one benchmark's table."""
    lines = [
        f"### {written['benchmark']}",
        "",
        f'`make bench ARGS="{written["benchmark"]}"`, {written["began"][:10]}; '
        f"{written['stolen_percent']:.1f} % of the CPU time was stolen.",
        "",
        "| figure | unit | median | from | to | rounds | at least | aim |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for figure in written["figures"]:
        values = [report.number(figure[name]) for name in ("median", "minimum", "maximum")]
        goal = [report.number(figure[name]) if name in figure else "" for name in ("least", "aim")]
        cells = [figure["label"], figure["unit"], *values, str(len(figure["rounds"])), *goal]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Prints the tables in the order of the benchmarks."""
    for name in NAMES:
        path = pathlib.Path(RESULTS, f"{name}.json")
        if path.exists():
            sys.stdout.write(table(json.loads(path.read_text())) + "\n")


if __name__ == "__main__":
    main()
