"""The beginnings and ends of runs, appended by all handlers to one file."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Sequence

NAME = "spans"


@dataclasses.dataclass(frozen=True)
class Boundary:
    """The beginning or the end of a run."""

    begins: bool
    at: float  # seconds since the epoch
    key: str


def write(descriptor: int, *, begins: bool, key: str) -> None:
    """Appends one; O_APPEND gives the writes of all processes one order."""
    os.write(descriptor, f"{int(begins)} {time.time():.6f} {key}\n".encode())


def read(directory: pathlib.Path) -> list[Boundary]:
    """Returns all in the order in which they were written."""
    lines = (line.split(" ", 2) for line in (directory / NAME).read_text().splitlines())
    return [Boundary(begins == "1", float(at), key) for begins, at, key in lines]


def most_at_once(boundaries: Sequence[Boundary]) -> int:
    """Returns the maximum number of simultaneous runs."""
    running = most = 0
    for boundary in boundaries:
        running += 1 if boundary.begins else -1
        most = max(most, running)
    return most
