"""Signals that stop a process gracefully."""

import asyncio
import signal
from collections.abc import Callable


def on_stop(stop: Callable[[], None]) -> None:
    """Has the running loop call `stop` for SIGTERM and SIGINT, unless this process inherited them as ignored.

    A shell starts background jobs with SIGINT ignored, so that Ctrl-C ends only what is in the foreground.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stop)
