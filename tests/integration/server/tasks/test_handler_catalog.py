"""Reading the announced handlers, for many calls at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database
from duetime_core.process import outage
from duetime_core.store.queues import handlers
from duetime_server.tasks import handler_catalog

Engine = sqlalchemy_asyncio.AsyncEngine

PATIENT = task.Retries(7)


@pytest.fixture
def catalog(engine: Engine) -> handler_catalog.HandlerCatalog:
    return handler_catalog.HandlerCatalog(engine, outage.Outage("the database", "it waits"))


class Reads:
    """The reads that began."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = asyncio.Event()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    read, reads = handlers.read, Reads()

    async def count(engine: Engine) -> dict[int, dict[str, task.Retries]]:
        reads.count += 1
        reads.begun.set()
        return await read(engine)

    monkeypatch.setattr(handlers, "read", count)
    return reads


@contextlib.asynccontextmanager
async def unreadable(engine: Engine) -> AsyncIterator[None]:
    """Has reads wait until the block ends."""
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE"))
        yield


async def begin(catalog: handler_catalog.HandlerCatalog, reads: Reads) -> asyncio.Task[None]:
    """Returns a refresh whose read has begun."""
    refresh = asyncio.create_task(catalog.refresh())
    await reads.begun.wait()
    return refresh


async def test_calls_that_arrive_during_a_read_share_the_next_one(
    engine: Engine, catalog: handler_catalog.HandlerCatalog, reads: Reads
) -> None:
    async with unreadable(engine):
        first = await begin(catalog, reads)
        # Announced too late for the read that is under way, and in time for those that ask from here on.
        await handlers.announce(engine, {"patient": PATIENT}, is_first=True)
        others = [asyncio.create_task(catalog.refresh()) for _ in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(first, *others)
    assert reads.count == 2
    assert catalog.retries("patient") == PATIENT


async def test_a_caller_who_hangs_up_during_a_read_leaves_the_next_one_to_others(
    engine: Engine, catalog: handler_catalog.HandlerCatalog, reads: Reads
) -> None:
    async with unreadable(engine):
        first = await begin(catalog, reads)
        others = [asyncio.create_task(catalog.refresh()) for _ in range(5)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        await handlers.announce(engine, {"patient": PATIENT}, is_first=True)
    await asyncio.gather(*others)
    assert catalog.retries("patient") == PATIENT


async def test_calls_that_share_a_read_that_fails_fail_together(
    catalog: handler_catalog.HandlerCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = [], asyncio.Event()

    async def fail(_: Engine) -> dict[int, dict[str, task.Retries]]:
        begun.append("read")
        await over.wait()
        raise errors.StoreUnavailable("It is down.")

    with monkeypatch.context() as down:
        down.setattr(handlers, "read", fail)
        refreshes = [asyncio.create_task(catalog.refresh()) for _ in range(50)]
        await asyncio.sleep(0)
        over.set()
        failures = await asyncio.gather(*refreshes, return_exceptions=True)
    assert [str(failure) for failure in failures] == ["It is down."] * 50
    assert len(begun) <= 2
    await catalog.refresh()
