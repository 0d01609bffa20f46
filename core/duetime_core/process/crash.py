"""Crash points: named places at which a process ends at once, as if its machine had failed there.

Tests choose one with DUETIME_CRASH_POINT. Without it, passing a point costs a comparison.
"""

import os
import signal
import sys

import structlog

VARIABLE = "DUETIME_CRASH_POINT"
POINTS = {
    "server.committed": "tasks are committed; nobody is woken or answered yet",
    "worker.claimed": "a claim is committed; none of its runs has begun",
    "worker.ran": "handlers ended; nothing of it is sent to the database",
    "worker.finished": "outcomes are committed; nobody is told",
}

_log = structlog.get_logger()
_chosen: str | None = None


def configure() -> None:
    """Reads which point is chosen, for this process; ends the process if there is no such point."""
    global _chosen
    _chosen = os.environ.get(VARIABLE) or None
    if _chosen is not None and _chosen not in POINTS:
        sys.exit(f"{VARIABLE}: must be one of {', '.join(POINTS)}")
    if _chosen is not None:
        _log.warning("this process ends itself at a crash point", point=_chosen, once=POINTS[_chosen])


def point(name: str) -> None:
    """Ends this process with SIGKILL, without a word, if that point is chosen."""
    if name == _chosen:
        os.kill(os.getpid(), signal.SIGKILL)
