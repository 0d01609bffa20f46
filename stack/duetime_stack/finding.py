"""What a check of `duetime doctor` found."""

import dataclasses
import enum


class Level(enum.StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    """Duetime does not work, or breaks a promise."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check found."""

    level: Level
    text: str
