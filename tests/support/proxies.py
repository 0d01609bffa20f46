"""A proxy in front of PostgreSQL that can lose connections and responses, and let connections fall silent."""

import asyncio
import contextlib
import pathlib

import sqlalchemy as sa

_READY = b"Z\x00\x00\x00\x05I"  # ReadyForQuery: ends the startup of a connection, and each response


class Proxy:
    """Forwards between a socket in `directory` and the PostgreSQL at `url`; its own `url` connects through it."""

    def __init__(self, url: str, directory: pathlib.Path) -> None:
        target = sa.make_url(url)
        self._target = f"{target.query['host']}/.s.PGSQL.{target.port or 5432}"
        self._path = directory / ".s.PGSQL.5432"
        through = target.set(port=5432).update_query_dict({"host": str(directory)})
        self.url = through.render_as_string(hide_password=False)
        self.closes_new = False
        """Whether to close each new connection right after its startup."""
        self.loses_answer_to: bytes | None = None
        """The next statement with this text is executed, and its connection closed instead of answered."""
        self.answer_lost = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._silent: set[asyncio.StreamWriter] = set()

    def silence(self) -> None:
        """Drops all that is sent on the present connections, and leaves them open, as a firewall that forgot them."""
        self._silent.update(self._writers)

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.close_all()
        await self._server.wait_closed()

    async def close_all(self) -> None:
        """Closes all connections, as a restart of PostgreSQL does."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, behind_writer]
        lost = asyncio.Event()  # set once the response to drop is expected
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass_on(reader, behind_writer, lost))
            both.create_task(self._answer(behind_reader, writer, lost))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        prepared: dict[bytes, bytes] = {}  # statements by name: prepared by one message, executed by another
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                sent = data
                if data[:1] == b"P" and data[5:6] != b"\0":
                    prepared[data[5:].split(b"\0", 1)[0]], sent = data, b""
                elif data[:1] == b"B":
                    sent = prepared.get(data[5:].split(b"\0", 2)[1], data)
                if self.loses_answer_to is not None and self.loses_answer_to in sent:
                    self.loses_answer_to = None
                    lost.set()
                if writer not in self._silent:
                    writer.write(data)
                    await writer.drain()
        if writer not in self._silent:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if lost.is_set():
                    if data.endswith(_READY):  # before that, it may not be committed
                        self.answer_lost.set()
                        break
                    continue
                if writer in self._silent:
                    continue
                writer.write(data)
                await writer.drain()
                if self.closes_new and data.endswith(_READY):
                    break
        if writer not in self._silent:
            writer.close()
