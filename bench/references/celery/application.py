"""The application that the worker and its caller share: one task, which notes how late it starts."""

import functools
import os
import pathlib
import time

import celery


def make(broker_url: str, directory: str = "") -> celery.Celery:
    """Makes it. A worker's processes note in the directory, each in a file of its own."""
    application = celery.Celery("bench", broker=broker_url)
    application.conf.update(
        task_ignore_result=True,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=False,
    )

    @functools.cache
    def notes() -> int:
        path = pathlib.Path(directory, f"late.{os.getpid()}")
        return os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    @application.task(name="note")
    def note(due: float) -> None:
        os.write(notes(), f"{1000 * (time.time() - due)}\n".encode())

    return application
