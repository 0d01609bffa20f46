"""Watches: the changes of one task or of many, as they are committed, across lost connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, TypeAlias

import grpc

from duetime_client import address, async_io, credentials, errors, task_log, watch_progress

OpenStream: TypeAlias = Callable[[str, credentials.Metadata], async_io.EventStream]
"""Opens a stream that resumes from a cursor, with credentials."""


class AsyncWatch:
    """Iterates over TaskEvents, without a gap or a repeat; returned by the client's `watch` and `watch_all`.

    If the connection is lost or silent, the server stops, or it disconnects a watcher that is too slow, the watch
    reconnects and resumes right after the last event, for as long as it takes. To leave it before its end, close it or
    use it in a `with` block. The iteration raises what the server refuses the watch with (TaskNotFound, InvalidArgument
    for a cursor of another watch), TlsFailed if its certificate is refused, and Unavailable or DeadlineExceeded if the
    server never responded. Once it has responded, TlsFailed is raised only if `target` is a single IP address: of
    several, another one may recover.
    """

    def __init__(
        self,
        open_stream: OpenStream,
        *,
        cursor: str,
        server: address.Address,
        sent: credentials.Credentials,
        starts_now: bool,
        check_client: Callable[[], object],
        explained: async_io.Explain,
    ) -> None:
        self._check_client = check_client
        self._explained = explained
        self._pause = async_io.Pause()
        self._open_stream = open_stream
        self._server = server
        self._credentials = sent
        self._metadata: credentials.Metadata = ()
        self._progress = watch_progress.WatchProgress(cursor)
        self._stream: async_io.EventStream | None = None
        self._closed = False
        self._starts_now = starts_now
        self._buffered: task_log.TaskEvent | None = None

    @property
    def cursor(self) -> str:
        """The cursor of the last event, or a later one if the server has sent a heartbeat since."""
        return self._progress.cursor

    async def aclose(self) -> None:
        """Ends the watch, and an iteration that is waiting for its next event."""
        self._closed = True
        self._pause.end()
        if self._stream is not None:
            self._stream.cancel()

    async def __aenter__(self) -> Self:
        # A watch of all tasks without a cursor starts now: at the cursor of its first message.
        while self._starts_now and not (self.cursor or self._closed):
            self._buffered = await self._read()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> task_log.TaskEvent:
        try:
            while not (self._closed or self._progress.finished):
                event, self._buffered = self._buffered or await self._read(), None
                if event is not None:
                    return event
        except errors.DuetimeError:
            await self.aclose()
            raise
        await self.aclose()
        raise StopAsyncIteration

    async def _read(self) -> task_log.TaskEvent | None:
        if self._stream is None:
            self._metadata = self._credentials.metadata()
            self._stream = self._open_stream(self._progress.cursor, self._metadata)
        error: grpc.RpcError | TimeoutError | None = None
        try:
            message = await self._stream.read(watch_progress.HEARTBEAT_TIMEOUT_SECONDS)
        except (grpc.RpcError, TimeoutError) as caught:
            message, error = None, caught
        except BaseException:
            # Interrupted: a message that arrives now would be lost. The next read opens a stream from the cursor.
            self._stream.cancel()
            self._stream = None
            raise
        if message is not None:
            is_renewed = message.HasField("end") and self._credentials.metadata() != self._metadata
            return self._progress.take(message, is_renewed=is_renewed)
        self._stream = None
        if not self._closed:
            self._check_client()  # raises if the client was closed, which ended the stream
            if isinstance(error, grpc.RpcError) and not self._progress.was_connected:
                error = await self._explained(error)
            await self._pause.wait(self._progress.delay_after(error, self._server))
        return None
