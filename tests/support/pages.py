"""The pages that people read."""

import pathlib

ROOT = pathlib.Path(__file__).parents[2]


def pages() -> list[pathlib.Path]:
    """Returns every page of prose: those at the root of the repository, and those in docs/."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
