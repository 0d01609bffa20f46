"""One watch, without its feed."""

import asyncio
import dataclasses
from collections.abc import Coroutine
from typing import Any

import pytest

from duetime_core.model import namespace, task
from duetime_core.model.snapshot import Position, Snapshot
from duetime_core.store.log import feed
from duetime_server.tasks import filters
from duetime_server.watch import subscription
from tests.support import runs

BEFORE, AFTER = Snapshot.parse("10:10:"), Snapshot.parse("20:20:")
CHANGE = task.TaskLog(
    7, 2, task.Status.RUNNING, "started", None, runs.MOMENT, runs.MOMENT, 0, "worker", None, "default", "noop"
)


def entry(*, xid: int = 15, **changes: Any) -> feed.Entry:
    log = dataclasses.replace(CHANGE, **changes)
    return feed.Entry(log, xid, Position("here", "", BEFORE, AFTER, xid, 99), namespace.DEFAULT)


async def received(watching: subscription.Watch) -> list[feed.Entry | None]:
    return [each async for each in watching.changes()]


async def test_a_watch_sends_its_queued_changes_and_then_ends() -> None:
    watching = subscription.Watch()
    entries = [entry(task_id=number) for number in (1, 2, 3)]
    for each in entries:
        watching.offer(each)
    watching.end(subscription.SERVER_STOPPING)
    watching.offer(entry(task_id=4))
    assert await received(watching) == entries


async def test_a_watch_of_one_task_skips_the_versions_that_were_sent() -> None:
    watching = subscription.Watch(task_id=7)
    watching.version = 3
    for version in (2, 3, 4):
        watching.offer(entry(version=version))
    watching.end(subscription.SERVER_STOPPING)
    assert [each.log.version for each in await received(watching) if each] == [4]


async def test_a_watch_of_all_skips_changes_that_it_has_read_itself() -> None:
    watching = subscription.Watch()
    for xid in (12, 15, 18):
        watching.offer(entry(xid=xid))
    watching.sent = Position("here", "", Snapshot.parse("13:17:15"))
    watching.end(subscription.SERVER_STOPPING)
    assert [each.xid for each in await received(watching) if each] == [15, 18]


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        (filters.WatchFilter(), True),
        (filters.WatchFilter(statuses=(task.Status.RUNNING,)), True),
        (filters.WatchFilter(statuses=(task.Status.FAILED,)), False),
        (filters.WatchFilter(queue="default", name="noop"), True),
        (filters.WatchFilter(queue="other"), False),
        (filters.WatchFilter(name="other"), False),
        # Before the change it was another task's queue, or name.
        (filters.WatchFilter(queue="mail"), True),
        (filters.WatchFilter(queue="mail", name="noop"), True),
        (filters.WatchFilter(queue="default", name="send"), False),
    ],
)
async def test_a_filter_passes_only_matching_changes(wanted: filters.WatchFilter, passes: bool) -> None:
    watching = subscription.Watch(wanted=wanted)
    watching.offer(entry(previous_queue="mail"))
    watching.end(subscription.SERVER_STOPPING)
    assert len(await received(watching)) == passes


async def test_a_change_whose_queue_is_not_known_passes_every_filter() -> None:
    watching = subscription.Watch(wanted=filters.WatchFilter(queue="mail", name="send"))
    watching.offer(entry(queue=None, name=None))
    watching.end(subscription.SERVER_STOPPING)
    assert len(await received(watching)) == 1


async def test_a_watch_whose_caller_is_too_far_behind_ends_and_buffers_no_more() -> None:
    watching = subscription.Watch()
    for number in range(subscription.MAX_WAITING + 500):
        watching.offer(entry(task_id=number))
    assert watching.end_reason == subscription.WATCHER_TOO_SLOW
    assert len(await received(watching)) == subscription.MAX_WAITING


async def test_an_idle_watch_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "HEARTBEAT_SECONDS", 0.01)
    watching = subscription.Watch()
    changes = watching.changes()
    assert await anext(changes) is None
    assert await anext(changes) is None
    watching.offer(entry())
    assert await anext(changes) == entry()


async def test_a_waiting_watch_is_woken_by_its_end() -> None:
    watching = subscription.Watch()
    waiting = asyncio.create_task(received(watching))
    await asyncio.sleep(0)
    watching.end(subscription.SERVER_STOPPING)
    async with asyncio.timeout(5):
        assert await waiting == []


def test_a_silence_is_not_longer_than_the_contract_says() -> None:
    assert subscription.HEARTBEAT_SECONDS <= 15


async def test_the_cursor_of_a_change_keeps_what_was_read_before_the_feed() -> None:
    watching = subscription.Watch()
    watching.sent = Position("here", "", Snapshot.parse("13:17:15"))
    position = watching.position_after(entry(xid=18))
    assert position == Position("here", "", watching.sent.seen, AFTER, 18, 99)
    watching.sent = Position("here", "", BEFORE)
    assert watching.position_after(entry(xid=18)) == Position("here", "", BEFORE, AFTER, 18, 99)


async def test_the_cursor_of_an_idle_watch_moves_on_with_the_feed() -> None:
    watching = subscription.Watch()
    watching.sent = Position("here", "", BEFORE)
    assert watching.idle_position() == watching.sent
    watching.advance(Position("here", "", AFTER))
    assert watching.idle_position() == Position("here", "", AFTER)


async def test_a_change_that_arrives_just_as_the_silence_ends_is_sent_before_the_heartbeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watching = subscription.Watch()

    async def silent_until_a_change_comes(waiting: Coroutine[Any, Any, bool], _: float) -> None:
        waiting.close()
        watching.offer(entry())
        raise TimeoutError

    monkeypatch.setattr(asyncio, "wait_for", silent_until_a_change_comes)
    assert await anext(watching.changes()) == entry()
