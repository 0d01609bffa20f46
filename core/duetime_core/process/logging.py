"""How processes log: one line an event on standard error, for people and for machines alike."""

import logging
import sys
from typing import Any

import structlog

from duetime_core.model import quoting


def configure() -> None:
    """Sets up structlog, and the standard logging of libraries, for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            escape,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Escaping("level=%(levelname)s logger=%(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # arq logs each job, and we have one for every slot.
    logging.getLogger("arq").setLevel(logging.ERROR)
    # psycopg tells of each statement that it could not cancel; that the database is gone is told once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)


def escape(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escapes control characters in all values, so that text of callers neither forges lines nor steers a terminal."""
    return {key: _escaped(value) for key, value in event.items()}


def _escaped(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else quoting.escaped(str(value))


class Escaping(logging.Formatter):
    """Writes a record of a library's as one line, with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns that line."""
        return quoting.escaped(super().format(record))
