"""The picture in docs/states.md shows the legal moves, all of them and no others."""

import pathlib
import re

from duetime_core.model import task

PICTURE = pathlib.Path(__file__).parents[3] / "docs/states.md"


def test_the_picture_shows_each_legal_move_and_no_other() -> None:
    drawn = set(re.findall(r"^    (\S+) --> (\S+): (\S+)$", PICTURE.read_text(), re.MULTILINE))
    legal = {("[*]", "pending", "created")}
    for change, move in task.MOVES.items():
        for source in move.sources:
            # Deleting leaves a finished status as it is, and cancels a pending task.
            unmoved = source if source in task.FINISHED else task.Status.CANCELLED
            legal.add((source, move.target or unmoved, change))
    assert drawn == legal


def test_every_change_but_creation_is_a_move() -> None:
    assert set(task.Change) - task.MOVES.keys() == {task.Change.CREATED}
