"""Coroutines that are run at once up to where they first wait: those that end before it need no timer."""

import contextvars
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Begun:
    """A coroutine that ran up to where it first waits. If it `has_ended`, it has a `result`; otherwise await this.

    It runs in a copy of the caller's context, as in a task of its own. Raises what the coroutine raises.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._coroutine = coroutine
        self._context = contextvars.copy_context()
        self._waits_for: Any = None
        self.has_ended = False
        self.result: object = None
        self._step(coroutine.send, None)

    def _step(self, function: Callable[[Any], Any], value: Any) -> None:
        try:
            self._waits_for = self._context.run(function, value)
        except StopIteration as ended:
            self.has_ended, self.result = True, ended.value

    def __await__(self) -> Generator[Any, Any, object]:
        """Passes everything between the asyncio task that awaits this and the coroutine."""
        while not self.has_ended:
            try:
                value = yield self._waits_for
            except BaseException as error:
                self._step(self._coroutine.throw, error)
            else:
                self._step(self._coroutine.send, value)
        return self.result
