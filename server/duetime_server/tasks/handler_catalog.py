"""The catalogue: which handlers there are, and what they bring. Creates read it without asking the database."""

import asyncio
import contextlib
from collections.abc import Mapping

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import builtin, errors, names, task
from duetime_core.process import outage
from duetime_core.store.queues import handlers

REFRESH_SECONDS = 2.0
GENERAL = task.Retries()
"""Of handlers that bring none."""
_MOST_LOOKED_UP = 100
"""Unknown names between two refreshes: a caller may make up as many as it likes."""


class HandlerCatalog:
    """The built-in handlers, but for those in whose place users have put their own, and the handlers of users.

    While the database does not answer it stays as it is.
    """

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, database_outage: outage.Outage) -> None:
        self._engine = engine
        self._database_outage = database_outage
        self._own: Mapping[str, task.Retries] = {}
        self._looked_up: set[str] = set()
        self._looking = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._failure: errors.StoreUnavailable | None = None

    async def run(self) -> None:
        """Refreshes it, each two seconds."""
        while True:
            try:
                await self.refresh()
            except errors.StoreUnavailable as error:
                self._database_outage.begin(error)
            else:
                self._database_outage.end()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Reads what workers have announced by now. Raises StoreUnavailable.

        Calls that arrive during a read share the next one: each refused request asks for one, and there may be
        thousands at once. Reads never overlap, so an older answer cannot replace a newer one.
        """
        begun_before = self._begun
        async with self._reading:
            if self._ended > begun_before:
                if self._failure is not None:
                    raise errors.StoreUnavailable(self._failure.message) from self._failure
                return
            self._begun += 1
            try:
                self._own = await handlers.read(self._engine)
            except errors.StoreUnavailable as error:
                self._failure = error
                self._ended = self._begun
                raise
            self._failure = None
            self._ended = self._begun
            self._looked_up.clear()

    async def look_up(self, name: str) -> None:
        """Asks the database for a name that is not known, once between two refreshes: its worker may be new."""
        if name in self._own or name in builtin.SPECS or name in self._looked_up:
            return
        async with self._looking:
            if name in self._looked_up or len(self._looked_up) >= _MOST_LOOKED_UP:
                return
            before = self._looked_up.copy()
            with contextlib.suppress(errors.StoreUnavailable):  # creating the task will say so
                await self.refresh()
            self._looked_up = before | {name}

    def spec(self, name: str) -> builtin.Spec | None:
        """Returns the built-in handler of that name, unless a worker has another one."""
        return None if name in self._own else builtin.SPECS.get(name)

    def meant(self, name: str) -> str | None:
        """Returns the name of the built-in handler that differs from `name` in case, spaces and signs alone."""
        return None if name in self._own or name in builtin.SPECS else builtin.BY_LETTERS.get(names.letters(name))

    def retries(self, name: str) -> task.Retries:
        """Returns the retries of tasks with that name which give none."""
        own = self._own.get(name)
        if own is not None:
            return own
        spec = builtin.SPECS.get(name)
        return GENERAL if spec is None else spec.retries
