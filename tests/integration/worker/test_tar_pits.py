"""Receivers that are slow on purpose: calls end, and free their slots."""

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator

import pytest
import structlog
import structlog.testing

from duetime_core.model import task
from duetime_worker import execution, handlers
from duetime_worker.builtin import call_webhook
from duetime_worker.egress import client
from tests.support import receiver, runs

WEEK = datetime.timedelta(days=7)


@contextlib.asynccontextmanager
async def tar_pit(head: bytes, drop: bytes) -> AsyncIterator[str]:
    """The URL of a server that sends `head`, and then `drop` repeatedly."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(head)
            while not reader.at_eof():  # until the worker disconnects
                writer.write(drop)
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01 if drop else None):
                        await reader.read(65536)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def outcomes(monkeypatch: pytest.MonkeyPatch, url: str, *, longest: float) -> set[tuple[task.Change, str | None]]:
    """Returns the outcomes of 100 calls with a timeout of a week, capped to `longest` seconds."""
    registered = handlers.registered(call_webhook.call_webhook)
    assert registered is not None
    assert registered.max_timeout is not None
    assert registered.max_timeout <= datetime.timedelta(minutes=10)
    shorter = dataclasses.replace(registered, max_timeout=datetime.timedelta(seconds=longest))
    runner = execution.Executor({"Call Webhook": shorter}, threads=1)
    claimed = runs.claimed(name="Call Webhook", task_data={"url": url}, timeout=WEEK)
    # Logs would be printed, each with a traceback.
    async with receiver.reachable(monkeypatch):
        with structlog.testing.capture_logs():
            ended = await asyncio.gather(*(runner.run(claimed) for _ in range(100)))
    return {(each.change, each.error_message) for each in ended}


async def test_a_silent_receiver_is_abandoned_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.READ_SECONDS <= 60
    monkeypatch.setattr(client, "READ_SECONDS", 0.5)
    async with tar_pit(b"", b"") as url:
        ended = await outcomes(monkeypatch, url, longest=60)
    assert ended == {(task.Change.RETRY_SCHEDULED, f"{url} did not answer: ReadTimeout")}


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n"])
async def test_a_dripping_receiver_is_abandoned_at_the_handlers_max_timeout(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    async with tar_pit(head, b"X" if not head else b"X: y\r\n") as url:
        ended = await outcomes(monkeypatch, url, longest=0.5)
    message = 'TimeoutError: timed out after 0.5 s, the max_timeout of handler "Call Webhook"'
    assert ended == {(task.Change.RETRY_SCHEDULED, message)}
