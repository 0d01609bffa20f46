"""The hub, where a test can take its database back in time, and its hints away."""

import asyncio
import dataclasses
import urllib.parse

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model.snapshot import Snapshot
from duetime_core.process import background, outage
from duetime_core.redis import client as redis_client
from duetime_core.store.log import feed
from duetime_server.watch import hub, subscription
from tests.support import factories, relay


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


async def test_a_watch_continues_while_the_connection_for_hints_is_silent(
    engine: sqlalchemy_asyncio.AsyncEngine, redis_url: str
) -> None:
    url = urllib.parse.urlsplit(redis_url)
    between = relay.Relay(url.port or 6379)
    await between.start()
    client = redis_client.connect(url._replace(netloc=f"127.0.0.1:{between.port}").geturl())
    publisher = redis_client.connect(redis_url)
    feeder = hub.Hub(engine, outage.Outage("the database", "watches wait"))
    services = background.start(feeder.run(), feeder.listen(client))
    async with feeder.subscribed(watching := subscription.Watch()), asyncio.timeout(20):
        while not await publisher.publish(client.names.changes, "[1]"):  # until it has subscribed
            pass
        assert between.silence() >= 1
        for _ in range(3):
            task_id = await factories.create(engine)
            entry = await anext(watching.changes())
            assert entry is not None
            assert entry.log.task_id == task_id
    await background.end(services)
    await between.cut()
    for each in (client, publisher):
        await each.aclose(close_connection_pool=True)
