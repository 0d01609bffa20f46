"""Waiting for a condition, with a status line when it takes long."""

import time
from collections.abc import Callable

import typer

from duetime_stack import errors

# PostgreSQL's first start has taken a minute on a busy machine.
LIMIT_SECONDS = 300.0
_QUIET_SECONDS = 5.0
_POLL_SECONDS = 0.02


def until(is_done: Callable[[], bool], what: str, *, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Returns once `is_done()`. Raises StackError after the limit, or what `is_done` raises."""
    began = time.monotonic()
    printed_at = began
    while not is_done():
        now = time.monotonic()
        if now - began > limit_seconds:
            raise errors.StackError(f"timed out waiting for {what} after {limit_seconds:.0f} s")
        if now - printed_at > _QUIET_SECONDS:
            typer.echo(f"still waiting for {what} ({now - began:.0f} s)")
            # At increasing intervals: after 5 s, 10 s, 20 s, …
            printed_at = now + (now - began) - _QUIET_SECONDS
        time.sleep(_POLL_SECONDS)
