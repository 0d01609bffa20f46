"""A worker with Celery's defaults, until SIGTERM. Arguments: the broker's URL, the directory for lateness files."""

import sys
import warnings
from typing import Any

import application
from celery import platforms, signals


@signals.worker_ready.connect
def print_ready(**_: Any) -> None:
    """Prints the line that the parent process waits for."""
    print("ready", flush=True)  # noqa: T201


warnings.filterwarnings("ignore", category=platforms.SecurityWarning)  # containers run as root
application.make(sys.argv[1], sys.argv[2]).worker_main(["--quiet", "worker", "--loglevel=ERROR"])
