"""The catalog of handlers and their retry defaults, which creates read without a query."""

import asyncio
import contextlib
from collections.abc import Mapping

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import builtin, errors, names, namespace, task
from duetime_core.process import outage
from duetime_core.store.queues import handlers

REFRESH_SECONDS = 2.0
DEFAULT_RETRIES = task.Retries()
"""For handlers without defaults of their own."""
_MAX_LOOKUPS = 100
"""Unknown names that are looked up between two refreshes: callers may invent any number."""


class HandlerCatalog:
    """The users' handlers, and the built-in handlers that no user's handler replaces, of the namespace of a call.

    It keeps its contents while the database is unavailable.
    """

    def __init__(self, engine: sqlalchemy_asyncio.AsyncEngine, database_outage: outage.Outage) -> None:
        self._engine = engine
        self._database_outage = database_outage
        self._handlers: Mapping[int, Mapping[str, task.Retries]] = {}  # by namespace
        self._looked_up: set[tuple[int, str]] = set()
        self._looking = asyncio.Lock()
        self._reading = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._failure: errors.StoreUnavailable | None = None

    @property
    def _own(self) -> Mapping[str, task.Retries]:
        return self._handlers.get(namespace.current(), {})

    async def run(self) -> None:
        """Refreshes it every two seconds."""
        while True:
            try:
                await self.refresh()
            except errors.StoreUnavailable as error:
                self._database_outage.begin(error)
            else:
                self._database_outage.end()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Reads the handlers that workers have announced. Raises StoreUnavailable.

        Calls that arrive during a read share the next one: each refused request makes one, and there may be thousands
        at once. Reads never overlap, so an older result cannot replace a newer one.
        """
        begun_before = self._begun
        async with self._reading:
            if self._ended > begun_before:
                if self._failure is not None:
                    raise errors.StoreUnavailable(self._failure.message) from self._failure
                return
            self._begun += 1
            try:
                self._handlers = await handlers.read(self._engine)
            except errors.StoreUnavailable as error:
                self._failure = error
                self._ended = self._begun
                raise
            self._failure = None
            self._ended = self._begun
            self._looked_up.clear()

    async def look_up(self, name: str) -> None:
        """Looks up an unknown name, once per refresh: its worker may be new."""
        wanted = (namespace.current(), name)
        if name in self._own or name in builtin.SPECS or wanted in self._looked_up:
            return
        async with self._looking:
            if wanted in self._looked_up or len(self._looked_up) >= _MAX_LOOKUPS:
                return
            before = self._looked_up.copy()
            with contextlib.suppress(errors.StoreUnavailable):  # creating the task raises it
                await self.refresh()
            self._looked_up = before | {wanted}

    def spec(self, name: str) -> builtin.Spec | None:
        """Returns the built-in handler of that name, unless a user's handler replaces it."""
        return None if name in self._own else builtin.SPECS.get(name)

    def meant(self, name: str) -> str | None:
        """Returns the built-in handler whose name differs from `name` only in case, spaces and punctuation."""
        return None if name in self._own or name in builtin.SPECS else builtin.BY_LETTERS.get(names.letters(name))

    def retries(self, name: str) -> task.Retries:
        """Returns the retries of tasks with that name that set none."""
        own = self._own.get(name)
        if own is not None:
            return own
        spec = builtin.SPECS.get(name)
        return DEFAULT_RETRIES if spec is None else spec.retries
