"""Clocks that a test moves on."""

import time
import types

import pytest


class MovedTime:
    """Stands for the module `time` in modules that read clocks from it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *modules: types.ModuleType) -> None:
        self._ahead = self._set = 0.0
        for module in modules:
            monkeypatch.setattr(module, "time", self)

    def monotonic(self) -> float:
        """Returns the time, moved on."""
        return time.monotonic() + self._ahead

    def time(self) -> float:
        """Returns the time of day, moved on and set."""
        return time.time() + self._ahead + self._set

    def move(self, seconds: float) -> None:
        """Moves both on."""
        self._ahead += seconds

    def set(self, seconds: float) -> None:
        """Sets the time of day alone, by so many seconds: back if they are negative."""
        self._set += seconds
