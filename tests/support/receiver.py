"""A real HTTP server on this loop that records requests and sends scripted responses, byte for byte."""

import asyncio
import contextlib
import dataclasses
import ssl
from collections.abc import AsyncIterator

import pytest

from duetime_worker.egress import client


@dataclasses.dataclass(frozen=True)
class Call:
    """A received request, and the number of its connection."""

    connection: int
    method: str
    path: str
    headers: dict[str, str]
    content: bytes


class Receiver:
    """The received requests, and the response to send."""

    def __init__(self) -> None:
        self.port = 0
        self.calls: list[Call] = []
        self.connections = 0
        self.status = 200
        self.reason = "Because"
        self.headers: dict[str, str] = {}
        self.body = b"thanks"
        self.raw: bytes | None = None  # the whole response, instead of the fields above
        self.hangs_up = False  # after `raw`

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                method, path, _ = first.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                content = await reader.readexactly(int(headers.get("content-length", 0)))
                self.calls.append(Call(connection, method, path, headers, content))
                writer.write(self._answer() if self.raw is None else self.raw)
                await writer.drain()
                if self.raw is not None and self.hangs_up:
                    break
        writer.close()

    def _answer(self) -> bytes:
        headers = {"Content-Length": len(self.body), **self.headers}
        head = f"HTTP/1.1 {self.status} {self.reason}\r\n" + "".join(f"{name}: {headers[name]}\r\n" for name in headers)
        return f"{head}\r\n".encode() + self.body


@contextlib.asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Yields a listening receiver."""
    receiver = Receiver()
    async with await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls) as server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver


@contextlib.asynccontextmanager
async def reachable(monkeypatch: pytest.MonkeyPatch, **settings: str) -> AsyncIterator[None]:
    """Gives this loop its own client with these settings; by default it may call receivers."""
    for name, value in (settings or {"allow": "127.0.0.1"}).items():
        monkeypatch.setenv(f"DUETIME_EGRESS_{name.upper()}", value)
    await close_client()
    yield
    await close_client()


async def close_client() -> None:
    """Closes the client of this loop, if there is one; the next call creates another."""
    found = client._clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()
