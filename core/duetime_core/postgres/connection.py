"""One connection to PostgreSQL, which does not wait for ever."""

import asyncio
import contextlib
import os
import select
import socket
from typing import Any

import psycopg

ANSWER_SECONDS = 10.0
"""How long a statement may go unanswered. A database that is stopped, or whose machine hangs, keeps its connections
open and says nothing; one that is only slow gives up before that, and then says so."""

CANCEL_SECONDS = 1.0
"""How long a statement that nobody waits for any more keeps its connection until the database says that it stops it."""


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that is closed, and its statement failed, once an answer is overdue."""

    is_new = True
    """Until it is used for the first time."""
    answer_seconds: float | None = ANSWER_SECONDS
    """None waits for ever. Whoever takes the connection from the pool finds ANSWER_SECONDS."""
    _overdue = False

    async def wait(self, *arguments: Any, **keywords: Any) -> Any:
        """Waits for the database, as psycopg does for each exchange with it."""
        if self.answer_seconds is None:
            return await super().wait(*arguments, **keywords)
        timer = asyncio.get_running_loop().call_later(self.answer_seconds, self._hang_up)
        try:
            return await super().wait(*arguments, **keywords)
        except psycopg.OperationalError as error:
            if not self._overdue:
                raise
            raise psycopg.errors.ConnectionTimeout(f"no answer within {self.answer_seconds:g} s") from error
        finally:
            timer.cancel()

    async def cancel_safe(self, *, timeout: float = CANCEL_SECONDS) -> None:  # noqa: ASYNC109 - psycopg's signature
        """Asks the database to stop the statement, as psycopg does where whoever waits for it is cancelled."""
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_SECONDS))
        except psycopg.OperationalError:
            self._hang_up()

    def _hang_up(self) -> None:
        # To the statement it looks as if the other side had closed the connection; cancelling it instead would ask the
        # database to cancel it, and wait for that.
        self._overdue = True
        with contextlib.suppress(psycopg.OperationalError, OSError), socket.socket(fileno=os.dup(self.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)

    def is_lost(self) -> bool:
        """Tells whether the database closed this connection while nobody used it.

        A closed socket can be read from, and an idle connection's cannot; asking the database instead would cost each
        statement a second round trip.
        """
        if self.closed:
            return True
        idle = select.poll()
        idle.register(self.fileno(), select.POLLIN)
        return bool(idle.poll(0))
