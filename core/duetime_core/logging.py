"""How processes log: one line an event on standard error, for people and for machines alike."""

import logging
import sys

import structlog


def configure() -> None:
    """Sets up structlog, and the standard logging of libraries, for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="level=%(levelname)s logger=%(name)s %(message)s"
    )
    # arq logs each job, and we have one for every slot.
    logging.getLogger("arq").setLevel(logging.ERROR)
    # psycopg tells of each statement that it could not cancel; that the database is gone is told once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
