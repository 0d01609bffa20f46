"""The clock that can be set, by which the checker judges."""

import pathlib
import subprocess
import sys
import time

import pytest

from tests.chaos import fake_clock

_PRINT_CLOCKS = "import time; print(time.time(), time.monotonic())"


@pytest.mark.parametrize("ahead_seconds", [0.25, -297.75])
def test_a_clock_is_exactly_as_far_ahead_as_it_was_set(tmp_path: pathlib.Path, ahead_seconds: float) -> None:
    wrong = fake_clock.FakeClock(tmp_path)
    wrong.set(ahead_seconds)
    before, before_monotonic = time.time(), time.monotonic()
    command = [sys.executable, "-c", _PRINT_CLOCKS]
    shown = subprocess.run(command, env=wrong.variables, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert before <= float(shown[0]) - ahead_seconds <= time.time()
    assert before_monotonic <= float(shown[1]) <= time.monotonic()
