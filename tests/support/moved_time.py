"""A monotonic clock that a test moves on."""

import time
import types

import pytest


class MovedTime:
    """Stands for the module `time` in modules that read the monotonic clock from it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: types.ModuleType) -> None:
        self._ahead = 0.0
        for module in modules:
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        """Returns the time, moved on."""
        return time.monotonic() + self._ahead

    def move(self, seconds: float) -> None:
        """Moves it on."""
        self._ahead += seconds
