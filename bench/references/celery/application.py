"""The application shared by worker and caller: one task, which records its lateness."""

import functools
import os
import pathlib
import time

import celery


def make(broker_url: str, directory: str = "") -> celery.Celery:
    """Returns the application. Each worker process records to its own file in the directory."""
    application = celery.Celery("bench", broker=broker_url)
    application.conf.update(
        task_ignore_result=True,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=False,
    )

    @functools.cache
    def lateness_file() -> int:
        path = pathlib.Path(directory, f"late.{os.getpid()}")
        return os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    @application.task(name="record lateness")
    def record_lateness(due: float) -> None:
        os.write(lateness_file(), f"{1000 * (time.time() - due)}\n".encode())

    return application
