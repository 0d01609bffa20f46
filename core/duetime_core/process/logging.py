"""Logging: one logfmt line per event on standard error."""

import logging
import sys
from collections.abc import Callable
from typing import Any

import structlog

from duetime_core.model import quoting

_OURS = frozenset({"timestamp", "level"})
"""What each line gets here, whatever it was logged with."""


def configure(redact: Callable[[str], str] = str) -> None:
    """Configures structlog, and the standard logging that libraries use, for this process.

    `redact` returns a text without what must not be logged.
    """

    def redacting(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {key: value if key in _OURS else _changed(value, redact) for key, value in event.items()}

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redacting,
            escape,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Escaping("level=%(levelname)s logger=%(name)s %(message)s", redact=redact))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # arq logs each job, and there is one for every slot.
    logging.getLogger("arq").setLevel(logging.ERROR)
    # psycopg logs each statement that it could not cancel; an outage of the database is logged once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)


def escape(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escapes control characters in all values, so that callers can neither forge lines nor control a terminal."""
    return {key: _changed(value, quoting.escaped) for key, value in event.items()}


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """Returns a value with `change` applied to its text; numbers stay."""
    return value if value is None or isinstance(value, bool | int | float) else change(str(value))


class Escaping(logging.Formatter):
    """Formats a library's log record as one line, with its traceback."""

    def __init__(self, form: str, *, redact: Callable[[str], str] = str) -> None:
        super().__init__(form)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Returns that line."""
        return quoting.escaped(self._redact(super().format(record)))
