"""What a process does at its exit, and what it leaves out."""

import subprocess
import sys

import pytest

CYCLE = """
import atexit

class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        print("searched")

kept = [Cycle() for _ in range(3)]
atexit.register(print, "ended")
"""


@pytest.mark.parametrize(
    ("setup", "printed"),
    [
        ("", ["ended", "searched", "searched", "searched"]),
        ("from duetime_core.process import teardown; teardown.configure()", ["ended"]),
        ("import duetime_cli, duetime_client.cli as cli; cli.main = lambda: None; duetime_cli.main()", ["ended"]),
    ],
    ids=["python's own exit", "a server or worker", "the command line"],
)
def test_a_process_exits_after_its_exit_handlers_without_searching_for_garbage(setup: str, printed: list[str]) -> None:
    ended = subprocess.run([sys.executable, "-c", setup + CYCLE], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == printed
