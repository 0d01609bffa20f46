"""The hub, where a test can take its database back in time."""

import asyncio
import dataclasses

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model.snapshot import Snapshot
from duetime_core.process import background, outage
from duetime_core.store.log import feed
from duetime_server.watch import hub, subscription
from tests.support import factories


async def test_a_database_that_has_lost_changes_ends_the_watches_and_not_the_server(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    feeder = hub.Hub(engine, outage.Outage("the database", "watches wait"))
    services = background.start(feeder.run())
    now = await feed.now(engine)
    xmax = now.seen.xmax + 1000
    async with feeder.subscribed(watching := subscription.Watch()):
        feeder._position = dataclasses.replace(now, seen=Snapshot(xmax, xmax, frozenset()))
        async with asyncio.timeout(10):
            assert [entry async for entry in watching.changes()] == []
        assert watching.end_reason == subscription.SERVER_STOPPING
    async with feeder.subscribed(again := subscription.Watch()):
        task_id = await factories.create(engine)
        async with asyncio.timeout(10):
            entry = await anext(again.changes())
        assert entry is not None
        assert entry.log.task_id == task_id
    assert not any(service.done() for service in services)
    await background.end(services)
