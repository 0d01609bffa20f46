"""Wakeups over a real Valkey: coalesced, armed only for the next minute, never blocking."""

import asyncio
import datetime
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from duetime_core.model import namespace, task
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell, hints, names, wakeup
from tests.support import processes

NOW = datetime.datetime.now(datetime.UTC)


def ms(milliseconds: float) -> datetime.timedelta:
    return datetime.timedelta(milliseconds=milliseconds)


@pytest_asyncio.fixture
async def client(redis_url: str) -> AsyncIterator[redis_client.Client]:
    client = redis_client.connect(redis_url)
    yield client
    await client.aclose(close_connection_pool=True)


@pytest_asyncio.fixture
async def bell(client: redis_client.Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[doorbell.Doorbell]:
    monkeypatch.setattr(doorbell, "DRAIN_SECONDS", 60)  # all is sent before a test looks
    bell = doorbell.Doorbell(client)
    services = background.start(bell.run())
    yield bell
    await background.end(services)


async def armed(client: redis_client.Client, queue: str = "default") -> dict[str, float]:
    waiting = await client.zrange(names.Names().wakeups(namespace.DEFAULT, queue), 0, -1, withscores=True)
    return {job_id.decode(): score for job_id, score in waiting}


async def test_a_wakeup_waits_for_the_slot_of_its_task(bell: doorbell.Doorbell, client: redis_client.Client) -> None:
    due = NOW + ms(12_345)
    bell.arm(namespace.DEFAULT, "default", due, now=NOW)
    await bell.drain()
    ((job_id, score),) = (await armed(client)).items()
    assert job_id == names.Names().job_id(namespace.DEFAULT, "default", wakeup.slot_of(due))
    assert 0 <= score - due.timestamp() * 1000 <= 10


async def test_one_that_is_armed_earlier_is_enough_and_an_earlier_one_is_armed_too(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    for due in (5000, 5000.5, 7000, 3000, 4000):
        bell.arm(namespace.DEFAULT, "default", NOW + ms(due), now=NOW)
    bell.arm(namespace.DEFAULT, "other", NOW + ms(9000), now=NOW)
    await bell.drain()
    expected = {
        names.Names().job_id(namespace.DEFAULT, "default", wakeup.slot_of(NOW + ms(due))) for due in (5000, 3000)
    }
    assert (await armed(client)).keys() == expected
    assert len(await armed(client, "other")) == 1


async def test_once_the_armed_slot_has_passed_the_next_one_is_armed(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    bell.arm(namespace.DEFAULT, "default", NOW + ms(100), now=NOW)
    bell.arm(namespace.DEFAULT, "default", NOW + ms(500), now=NOW + ms(200))
    await bell.drain()
    assert len(await armed(client)) == 2


async def test_queues_of_two_namespaces_with_the_same_name_are_rung_apart(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    for namespace_id in (1, 2, 2):
        bell.arm(namespace_id, "default", NOW + ms(5000), now=NOW)
    pending = task.Changed(7_000_007, "mail", NOW + ms(5000), NOW, 2)
    bell.announce([pending])
    await bell.drain()
    waiting = {
        (namespace_id, queue): await client.zcard(names.Names().wakeups(namespace_id, queue))
        for namespace_id in (1, 2)
        for queue in ("default", "mail")
    }
    assert waiting == {(1, "default"): 1, (2, "default"): 1, (1, "mail"): 0, (2, "mail"): 1}


async def test_an_already_due_task_is_rung_in_the_next_slot(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    bell.arm(namespace.DEFAULT, "default", NOW - datetime.timedelta(hours=1), now=NOW)
    await bell.drain()
    assert list(await armed(client)) == [names.Names().job_id(namespace.DEFAULT, "default", wakeup.slot_of(NOW) + 1)]


async def test_only_the_next_minute_is_armed(bell: doorbell.Doorbell, client: redis_client.Client) -> None:
    bell.arm(namespace.DEFAULT, "default", NOW + wakeup.HORIZON + ms(1), now=NOW)
    await bell.drain()
    assert await armed(client) == {}


async def test_ten_thousand_tasks_cost_redis_one_wakeup(bell: doorbell.Doorbell, client: redis_client.Client) -> None:
    for number in range(10_000):
        bell.arm(namespace.DEFAULT, "default", NOW + ms(2000 + number), now=NOW)
    await bell.drain()
    assert len(await armed(client)) == 1


async def test_a_wakeup_that_may_come_before_the_commit_is_not_counted_on(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    bell.arm(namespace.DEFAULT, "default", NOW + ms(20), now=NOW)
    bell.arm(
        namespace.DEFAULT, "default", NOW + ms(40), now=NOW
    )  # its statement began at once, and may have taken longer than 20 ms
    await bell.drain()
    assert len(await armed(client)) == 2


async def test_wakeups_that_no_worker_takes_do_not_pile_up(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    for second in range(100):
        now = NOW + datetime.timedelta(seconds=second)
        bell.arm(namespace.DEFAULT, "default", now, now=now)
        await bell.drain()
    assert len(await armed(client)) <= 6
    job = names.Names().job_id(namespace.DEFAULT, "default", wakeup.slot_of(NOW + datetime.timedelta(seconds=99)) + 1)
    assert 0 < await client.pttl(f"arq:job:{job}") <= 2 * wakeup.HORIZON / ms(1) + 200_000


async def test_the_name_of_a_queue_without_workers_leaves_nothing_in_redis(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    for number in range(3_000):
        bell.arm(namespace.DEFAULT, f"queue-{number}", NOW + wakeup.HORIZON, now=NOW)
    await bell.drain()
    keys = await client.keys()
    assert len(keys) == 6_000  # a queue and a wakeup for each
    async with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.pttl(key)
        expiries = await pipeline.execute()
    assert min(expiries) > 0
    # Not before the wakeup is due and taken.
    assert wakeup.HORIZON / ms(1) < max(expiries) <= wakeup.KEPT / ms(1)


async def test_a_queue_does_not_wait_for_the_wakeups_of_thousands_of_others(
    client: redis_client.Client,
) -> None:
    bell = doorbell.Doorbell(client)
    for number in range(20_000):
        bell.arm(namespace.DEFAULT, f"queue-{number}", NOW + ms(10), now=NOW + ms(number // 1000))
    bell.arm(namespace.DEFAULT, "other", NOW + ms(10), now=NOW + ms(20))
    await bell._send()
    assert len(await armed(client, "other")) == 1
    assert await client.dbsize() <= 200
    while bell._wakeups:
        await bell._send()
    assert len(await armed(client, "queue-0")) == len(await armed(client, "queue-19999")) == 1


async def test_a_wakeup_that_runs_is_not_armed_again(bell: doorbell.Doorbell, client: redis_client.Client) -> None:
    due = NOW + ms(500)
    job = names.Names().job_id(namespace.DEFAULT, "default", wakeup.slot_of(due))
    for _ in range(2):
        bell.arm(namespace.DEFAULT, "default", due, now=NOW)
        await bell.drain()
        bell._armed.clear()  # as if another process armed it
    assert list(await armed(client)) == [job]
    # So does arq's own.
    assert await client.enqueue_job(wakeup.FUNCTION, "default", _job_id=job) is None


async def test_hints_that_come_together_are_one_message(bell: doorbell.Doorbell, client: redis_client.Client) -> None:
    async with client.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(names.Names().changes)
        await subscription.get_message(timeout=5)
        for task_id in (7_000_001, 7_000_002, 7_000_001):
            bell.changed([task_id])
        async with asyncio.timeout(10):
            while True:  # other tests ring too
                message = await subscription.get_message(timeout=5)
                if message is not None and 7_000_001 in (heard := json.loads(message["data"])):
                    break
    assert sorted(heard) == [7_000_001, 7_000_002]


async def test_an_announcement_hints_at_all_its_tasks_and_arms_the_pending_ones(
    bell: doorbell.Doorbell, client: redis_client.Client
) -> None:
    async with client.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(names.Names().changes)
        await subscription.get_message(timeout=5)
        pending = task.Changed(7_000_005, "default", NOW + ms(5000), NOW, namespace.DEFAULT)
        cancelled = task.Changed(7_000_006, "other", NOW + ms(5000), NOW, namespace.DEFAULT, task.Status.CANCELLED)
        bell.announce([pending, cancelled])
        async with asyncio.timeout(10):
            while True:  # other tests ring too
                message = await subscription.get_message(timeout=5)
                if message is not None and 7_000_005 in (heard := json.loads(message["data"])):
                    break
    await bell.drain()
    assert sorted(heard) == [7_000_005, 7_000_006]
    assert (await armed(client)).keys() == {
        names.Names().job_id(namespace.DEFAULT, "default", wakeup.slot_of(NOW + ms(5000)))
    }
    assert await armed(client, "other") == {}


async def test_hints_are_heard_over_a_lost_connection(
    bell: doorbell.Doorbell, redis_url: str, client: redis_client.Client
) -> None:
    listener = redis_client.connect(redis_url)
    heard: asyncio.Queue[frozenset[int]] = asyncio.Queue()

    async def listen() -> None:
        async for task_ids in hints.listen(listener, names.Names().cancellations):
            heard.put_nowait(task_ids)

    async def ring_until_heard(task_id: int) -> None:
        async with asyncio.timeout(20):
            while True:
                bell.cancelled([task_id])
                try:
                    while task_id not in await asyncio.wait_for(heard.get(), 0.1):
                        pass
                except TimeoutError:
                    continue
                return

    services = background.start(listen())
    await ring_until_heard(7_000_003)
    database = client.connection_pool.connection_kwargs["db"]  # others' listeners are on the same server
    for each in await client.client_list(_type="pubsub"):
        if each["db"] == str(database):
            await client.client_kill_filter(_id=each["id"])
    await ring_until_heard(7_000_004)
    await background.end(services)
    await listener.aclose(close_connection_pool=True)


async def test_ringing_never_waits_for_an_unavailable_redis() -> None:
    client = redis_client.connect(f"redis://127.0.0.1:{processes.free_port()}/0")
    bell = doorbell.Doorbell(client)
    services = background.start(bell.run())
    for number in range(1000):
        bell.arm(namespace.DEFAULT, "default", NOW + ms(number), now=NOW)
        bell.changed([number])
    async with asyncio.timeout(20):
        await bell.drain()  # dropped
    await background.end(services)
    await client.aclose(close_connection_pool=True)


async def test_draining_does_not_wait_for_a_broken_doorbell(
    client: redis_client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "DRAIN_SECONDS", 100)
    bell = doorbell.Doorbell(client)
    monkeypatch.setattr(client, "publish", None)
    running = asyncio.create_task(bell.run())
    bell.changed([1])
    draining = asyncio.create_task(bell.drain())
    with pytest.raises(TypeError):
        await running
    async with asyncio.timeout(20):
        await draining


async def test_draining_does_not_wait_long_for_unsent_hints(
    client: redis_client.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "DRAIN_SECONDS", 0.05)
    bell = doorbell.Doorbell(client)
    bell.changed([1])
    async with asyncio.timeout(5):
        await bell.drain()


async def test_an_invalid_hint_is_ignored(redis_url: str, client: redis_client.Client) -> None:
    listener = redis_client.connect(redis_url)
    channel = "test:hints"
    heard = hints.listen(listener, channel)
    first = asyncio.ensure_future(anext(heard))
    async with asyncio.timeout(20):
        while not first.done():  # until it is subscribed
            for data in ("nonsense", "5", "[null]", "[[1]]", "{}", "[7]"):
                await client.publish(channel, data)
    assert await first == {7}
    await heard.aclose()
    await listener.aclose(close_connection_pool=True)
