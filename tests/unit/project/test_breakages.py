"""The breakages of chaos's negative controls find what they break: chaos itself shows that only after minutes."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[3]
# In a process each: they change modules for good.
_APPLY_EACH = """
import os
from tests.chaos import breakages

for name, apply in breakages.ALL.items():
    if os.fork() == 0:
        apply()
        os._exit(0)
    if os.wait()[1]:
        raise SystemExit(name)
"""


def test_every_breakage_can_be_applied() -> None:
    applied = subprocess.run([sys.executable, "-c", _APPLY_EACH], cwd=ROOT, capture_output=True, text=True, check=False)
    assert applied.returncode == 0, applied.stderr
