"""A connection to PostgreSQL with a timeout for each response."""

import asyncio
import contextlib
import os
import select
import socket
from typing import Any

import psycopg

ANSWER_SECONDS = 10.0
"""How long a statement may go unanswered. A database that is stopped, or whose machine hangs, keeps its connections
open and sends nothing; one that is only slow reaches its statement_timeout first, and reports that."""

SILENT_SECONDS = 5.0
"""A statement that was unanswered for that long when its caller hung up may be on a connection that fell silent, and
the others of its pool with it. Impatient callers of a slow database must not have each of them replaced."""


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that is closed, so that its statement fails, once a response is overdue."""

    is_new = True
    """Until its first use."""
    answer_seconds: float | None = ANSWER_SECONDS
    """None waits indefinitely. The pool resets it at each checkout."""
    waited_seconds = 0.0
    """How long the last response took, or until its caller gave up."""
    _overdue = False

    async def wait(self, *arguments: Any, **keywords: Any) -> Any:
        """Waits for the database, as psycopg does in each round trip. Raises ConnectionTimeout."""
        if self.answer_seconds is None:
            return await super().wait(*arguments, **keywords)
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        timer = loop.call_later(self.answer_seconds, self._shut_down)
        try:
            return await super().wait(*arguments, **keywords)
        except psycopg.OperationalError as error:
            if not self._overdue:
                raise
            raise psycopg.errors.ConnectionTimeout(f"no answer within {self.answer_seconds:g} s") from error
        finally:
            timer.cancel()
            self.waited_seconds = loop.time() - asked_at

    async def cancel_safe(self, *, timeout: float = 0) -> None:  # noqa: ASYNC109 - psycopg's signature
        """Hangs up, where psycopg would cancel the statement because the waiting coroutine was cancelled.

        A commit that waits for a synchronous standby would end its wait when it is cancelled: committed, visible to
        all, and lost if the standby takes over. Nor does hanging up wait for anything. PostgreSQL ends the statement
        once it notices (client_connection_check_interval), unless it is committing.
        """
        self._shut_down()

    def _shut_down(self) -> None:
        # To the statement it looks as if the other side had closed the connection. Cancelling the statement instead
        # would send a request to the database and wait for it.
        self._overdue = True
        with (
            contextlib.suppress(psycopg.OperationalError, OSError),
            socket.socket(fileno=os.dup(self.fileno())) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)

    def is_lost(self) -> bool:
        """Returns whether the database closed this connection while it was idle.

        A closed socket is readable, an idle one is not. A query instead would cost each statement a second round trip.
        """
        if self.closed:
            return True
        idle = select.poll()
        idle.register(self.fileno(), select.POLLIN)
        return bool(idle.poll(0))
