"""Signals that a process inherits as ignored."""

import os
import pathlib
import signal
import sys

import psutil
import pytest

from tests.support import processes

# As a shell does for a background job, and nohup.
_IGNORING = ("sh", "-c", "trap '' INT HUP; exec \"$@\"", "sh")


def ignored(pid: int) -> set[signal.Signals]:
    """Returns the signals that a process ignores."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    mask = int(next(line for line in status.splitlines() if line.startswith("SigIgn:")).split()[1], 16)
    return {each for each in signal.Signals if mask >> (each - 1) & 1}


@pytest.mark.parametrize(
    ("module", "ready"), [("duetime_server", "event=serving"), ("duetime_worker", "event=working")]
)
async def test_a_process_that_inherits_sigint_as_ignored_ignores_it_and_stops_on_sigterm(
    module: str, ready: str, database_url: str, redis_url: str
) -> None:
    process = await processes.launch(
        *(*_IGNORING, sys.executable, "-m", module),
        environment={
            **os.environ,
            "DUETIME_DATABASE_URL": database_url,
            "DUETIME_REDIS_URL": redis_url,
            "DUETIME_LISTEN": f"127.0.0.1:{processes.free_port()}",
        },
    )
    await process.wait_for_log(ready)
    assert {signal.SIGINT, signal.SIGHUP} <= ignored(process.pid)
    process.process.send_signal(signal.SIGINT)
    process.process.send_signal(signal.SIGHUP)
    assert psutil.pid_exists(process.pid)
    process.terminate()
    assert await process.ended() == 0
