"""Fixtures of the worker's tests."""

import contextlib
import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from duetime_core.process import logging as process_logging
from duetime_worker import redaction


@pytest.fixture
def worker_logs() -> Iterator[io.StringIO]:
    """Logs as a worker does; what it would write to standard error is here."""
    configured, root = structlog.get_config(), logging.getLogger()
    handlers_before, level = root.handlers[:], root.level
    root.handlers.clear()
    lines = io.StringIO()
    with contextlib.redirect_stderr(lines):
        process_logging.configure(redaction.text)
    yield lines
    structlog.configure(**configured)
    root.handlers[:] = handlers_before
    root.setLevel(level)
