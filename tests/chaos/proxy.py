"""A proxy from TCP to a unix socket that breaks connections as a test demands."""

import asyncio
import contextlib
import enum
import pathlib
from collections.abc import Callable

from tests.support import relay


class Fate(enum.Enum):
    """What happens to a chunk that a client sends."""

    PASS = enum.auto()
    CUT_BEFORE = enum.auto()
    """The connection breaks before the server receives it."""
    CUT_AFTER = enum.auto()
    """The server receives and executes it; the connection breaks before the response arrives."""


Judge = Callable[[bytes], Fate]
"""Decides for each chunk that a client sends."""


def _pass(_: bytes) -> Fate:
    return Fate.PASS


class Proxy(relay.Relay):
    """Listens on its own port and forwards to `target` until the judge breaks the connection."""

    def __init__(self, target: pathlib.Path) -> None:
        super().__init__(target)
        self.judge: Judge = _pass
        self.cuts = 0
        """How often a judge broke a connection."""

    def spare(self) -> None:
        """Lets everything pass again."""
        self.judge = _pass

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._open()
        answers = asyncio.create_task(self._answer(far_reader, writer))
        try:
            while (chunk := await reader.read(65536)) and not answers.done():
                if writer in self._silent:
                    continue
                match self.judge(chunk):
                    case Fate.CUT_BEFORE:
                        self.cuts += 1
                        return
                    case Fate.CUT_AFTER:
                        self.cuts += 1
                        answers.cancel()
                        with contextlib.suppress(asyncio.CancelledError):
                            await answers
                        far_writer.write(chunk)
                        await far_writer.drain()
                        await far_reader.read(65536)  # executed, but the response is dropped
                        return
                far_writer.write(chunk)
                await far_writer.drain()
        finally:
            answers.cancel()
            far_writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                if writer not in self._silent:
                    writer.write(chunk)
                    await writer.drain()
        writer.close()
