"""Crash points: named places at which a process ends at once, as if its machine had failed there.

Tests choose one with DUETIME_CRASH_POINT. Without it, passing a point costs a comparison.
"""

import os
import signal
import sys

import structlog

VARIABLE = "DUETIME_CRASH_POINT"
POINTS = {
    "server.committed": "tasks are committed; no worker is woken and the call is not answered yet",
    "worker.claimed": "a claim is committed; none of its runs has started",
    "worker.ran": "handlers ended; no outcome is sent to the database yet",
    "worker.finished": "outcomes are committed; no hint is sent yet",
}

_log = structlog.get_logger()
_chosen: str | None = None


def configure() -> None:
    """Reads the chosen point from the environment. Exits the process if it does not exist."""
    global _chosen
    _chosen = os.environ.get(VARIABLE) or None
    if _chosen is not None and _chosen not in POINTS:
        sys.exit(f"{VARIABLE}: must be one of {', '.join(POINTS)}")
    if _chosen is not None:
        _log.warning("this process ends itself at a crash point", point=_chosen, once=POINTS[_chosen])


def point(name: str) -> None:
    """Ends this process with SIGKILL if that point is chosen."""
    if name == _chosen:
        os.kill(os.getpid(), signal.SIGKILL)
