"""A relay to a TCP port or a unix socket that a test can cut, restore and silence."""

import asyncio
import contextlib
import pathlib
import ssl


class Relay:
    """Forwards from a port of its own, perhaps with TLS, to another port of this machine, or to a unix socket."""

    def __init__(self, target: int | pathlib.Path, *, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._open_connections: set[asyncio.StreamWriter] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        """Starts listening, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def lead_to(self, target: int | pathlib.Path) -> None:
        """Forwards new connections to another target."""
        self._target = target

    async def cut(self) -> None:
        """Breaks all connections and refuses new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def silence(self) -> int:
        """Drops all that is sent on the open connections, as a firewall that forgot them; returns how many there are.

        Neither side notices. New connections work.
        """
        self._silent |= self._open_connections
        return len(self._silent)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        self._open_connections.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            self._connections.discard(connection)
            self._open_connections.discard(writer)
            self._silent.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._open()
        try:
            await asyncio.gather(self._copy(reader, far_writer, of=writer), self._copy(far_reader, writer, of=writer))
        finally:
            far_writer.transport.abort()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, int):
            return await asyncio.open_connection("127.0.0.1", self._target)
        return await asyncio.open_unix_connection(self._target)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, of: asyncio.StreamWriter
    ) -> None:
        while piece := await reader.read(65536):
            if of not in self._silent:
                writer.write(piece)
                await writer.drain()
        raise ConnectionResetError("closed in both directions")
