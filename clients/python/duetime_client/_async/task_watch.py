"""The changes of one task or of many, as they are committed, across lost connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, TypeAlias

import grpc

from duetime_client import async_io, errors, task_log, watch_progress

OpenStream: TypeAlias = Callable[[str], async_io.EventStream]
"""Opens a stream that goes on from a cursor."""


class AsyncWatch:
    """Iterates over TaskEvents, without a gap or a repeat; made by the client's `watch` and `watch_all`.

    When the connection is lost or silent, or the server stops or cuts off a watcher that was too slow, it
    opens another stream right after the last event, for as long as it takes. Close it, or use it in a `with`
    block, when you leave it before its end. Raises, from the iteration, what the server refuses it for
    (TaskNotFound, InvalidArgument for a cursor of another watch), and Unavailable or DeadlineExceeded if it
    was never answered.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        *,
        cursor: str,
        target: str,
        begins_now: bool,
        check_client: Callable[[], object],
    ) -> None:
        self._check_client = check_client
        self._pause = async_io.Pause()
        self._open_stream = open_stream
        self._target = target
        self._progress = watch_progress.WatchProgress(cursor)
        self._stream: async_io.EventStream | None = None
        self._closed = False
        self._begins_now = begins_now
        self._held: task_log.TaskEvent | None = None

    @property
    def cursor(self) -> str:
        """Where the watch stands: at its last event, or later if the server said that it is idle."""
        return self._progress.cursor

    async def aclose(self) -> None:
        """Ends the watch; an iteration that waits ends too."""
        self._closed = True
        self._pause.end()
        if self._stream is not None:
            self._stream.cancel()

    async def __aenter__(self) -> Self:
        # A watch of all without a cursor begins now, and its first word says when that is.
        while self._begins_now and not (self.cursor or self._closed):
            self._held = await self._read()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> task_log.TaskEvent:
        try:
            while not (self._closed or self._progress.over):
                event, self._held = self._held or await self._read(), None
                if event is not None:
                    return event
        except errors.DuetimeError:
            await self.aclose()
            raise
        await self.aclose()
        raise StopAsyncIteration

    async def _read(self) -> task_log.TaskEvent | None:
        if self._stream is None:
            self._stream = self._open_stream(self._progress.cursor)
        error: grpc.RpcError | TimeoutError | None = None
        try:
            message = await self._stream.read(watch_progress.SILENCE_SECONDS)
        except (grpc.RpcError, TimeoutError) as caught:
            message, error = None, caught
        except BaseException:
            # Interrupted: what arrives now would be lost. The next read opens a stream from the cursor.
            self._stream.cancel()
            self._stream = None
            raise
        if message is not None:
            return self._progress.take(message)
        self._stream = None
        if not self._closed:
            self._check_client()  # raises if it was closed, which ended the stream
            await self._pause.wait(self._progress.delay_after(error, self._target))
        return None
