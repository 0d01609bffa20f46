"""The two watches as streams of events."""

import dataclasses
import datetime
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import snapshot, task
from duetime_core.store.log import feed
from duetime_core.store.tasks import read as task_read
from duetime_server.rpc import fields, tokens, violations
from duetime_server.tasks import filters
from duetime_server.tasks import messages as task_messages
from duetime_server.watch import cursors, hub, subscription

_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_MOST_MICROSECONDS = 253_402_300_800_000_000
"""Until the year 10000."""
_CURRENT = "current"
"""The `change` of a task's present state, sent if its last change is no longer in the log."""

Events = AsyncGenerator[task_service_pb2.TaskEvent, None]


async def watch_task(
    engine: sqlalchemy_asyncio.AsyncEngine, watch_hub: hub.Hub, request: task_service_pb2.WatchTaskRequest
) -> Events:
    """Streams the changes of one task, and ends once it is finished. Raises TaskNotFound or InvalidArgument."""
    task_id = fields.task_id(request.task_id)
    sent = _Sent.read(task_id, request.cursor) if request.cursor else None
    while True:
        watching = subscription.Watch(task_id=task_id)
        async with watch_hub.subscribed(watching):
            last = current = page = None
            if sent is not None:
                watching.version, last, current = await _resume_at(engine, watch_hub, sent)
            else:
                watching.version, current, page = await _begin_with(engine, watch_hub, task_id)
            async for log in _changes(watch_hub, watching, current, page):
                if log is not None:
                    last = log
                    watching.version = log.version
                    sent = _Sent(task_id, log.version, log.timestamp)
                    yield task_messages.change_event(log, str(sent))
                if last is not None and last.status in task.FINISHED:
                    yield task_messages.end_event(subscription.TASK_TERMINAL, str(sent))
                    return
                if log is None:
                    yield task_messages.heartbeat_event(str(sent))
        if watching.end_reason != subscription.NEW_HISTORY:
            break
    yield task_messages.end_event(
        watching.end_reason or subscription.SERVER_STOPPING, "" if sent is None else str(sent)
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Sent:
    """The last change that a watch of one task has sent. After a failover, another one may have its version."""

    task_id: int
    version: int
    timestamp: datetime.datetime

    def __str__(self) -> str:
        microseconds = (self.timestamp - _EPOCH) // datetime.timedelta(microseconds=1)
        return tokens.encode(("WatchTask", self.task_id), [self.version, microseconds])

    @classmethod
    def read(cls, task_id: int, cursor: str) -> "_Sent":
        """Reads a cursor. Raises InvalidArgument for what `str` did not write."""
        match tokens.decode("cursor", cursor, ("WatchTask", task_id)):
            case [int(version), int(microseconds)] if 1 <= version < 2**31 and abs(microseconds) < _MOST_MICROSECONDS:
                return cls(task_id, version, _EPOCH + datetime.timedelta(microseconds=microseconds))
            case int():
                raise violations.refuse("cursor", cursors.BEFORE_HISTORIES)
        raise violations.refuse("cursor", tokens.UNKNOWN)


async def _begin_with(
    engine: sqlalchemy_asyncio.AsyncEngine, watch_hub: hub.Hub, task_id: int
) -> tuple[int, task.TaskLog, Sequence[task.TaskLog] | None]:
    """Returns the version after which to begin, what to begin with if no change follows, and what does if it was read.

    Raises TaskNotFound.
    """
    found = await task_read.get(engine, task_id)
    before, page = found.version - 1, None
    if found.status is task.Status.RUNNING:
        page = await watch_hub.catch_up_with_task(task_id, after_version=before) or None
        if page is None:
            # Its start is on its way to the log, and is sent once it is there: this begins with the change before.
            before -= 1
            found = dataclasses.replace(found, status=task.Status.PENDING, version=found.version - 1)
    return before, _as_current(found), page


async def _resume_at(
    engine: sqlalchemy_asyncio.AsyncEngine, watch_hub: hub.Hub, sent: _Sent
) -> tuple[int, task.TaskLog | None, task.TaskLog | None]:
    """Returns the version after which to continue, its log row, and what to begin with if no change follows.

    The row is None if only rows up to it are deleted. The version is 0 if the task has another history since, which is
    then sent as a whole, as far as it is kept.
    """
    for log in await watch_hub.catch_up_with_task(sent.task_id, after_version=sent.version - 1):
        if log.version == sent.version:
            return (sent.version, log, None) if log.timestamp == sent.timestamp else (0, None, None)
        if log.version == sent.version + 1:
            return sent.version, None, None
        raise violations.refuse("cursor", feed.TOO_OLD)
    current = _as_current(await task_read.get(engine, sent.task_id))
    if (current.version, current.timestamp) == (sent.version, sent.timestamp):
        return sent.version, current, None
    if current.version > sent.version:
        raise violations.refuse("cursor", feed.TOO_OLD)
    return 0, None, current


def _as_current(found: task.Task) -> task.TaskLog:
    """Returns the event that replaces the task's last log row if retention has deleted that."""
    return task.TaskLog(
        found.task_id,
        found.version,
        found.status,
        _CURRENT,
        found.error_message,
        found.updated_at,
        found.execution_time,
        found.retry_count,
        actor="",
        duration=None,
        queue=found.queue,
        name=found.name,
    )


async def _changes(
    watch_hub: hub.Hub,
    watching: subscription.Watch,
    current: task.TaskLog | None,
    page: Sequence[task.TaskLog] | None,
) -> AsyncIterator[task.TaskLog | None]:
    """Yields the log rows after `watching.version`, present and future ones, and None after each silence.

    If there is none at present, it begins with `current`. The first `page` is read unless it is given.
    """
    assert watching.task_id is not None
    if page is None:
        page = await watch_hub.catch_up_with_task(watching.task_id, after_version=watching.version)
    is_empty = not page
    while page:
        for log in page:
            yield log
        if len(page) < hub.CATCH_UP_PAGE:
            break
        page = await watch_hub.catch_up_with_task(watching.task_id, after_version=watching.version)
    if is_empty:
        yield current
    async for entry in watching.changes():
        yield None if entry is None else entry.log


async def watch_tasks(
    engine: sqlalchemy_asyncio.AsyncEngine, watch_hub: hub.Hub, request: task_service_pb2.WatchTasksRequest
) -> Events:
    """Streams the changes of all tasks that match a filter. Raises InvalidArgument."""
    wanted = filters.watch_filter(request)
    codec = cursors.Cursors(("WatchTasks", *tokens.filters(wanted)))
    if request.cursor:
        # Before the first event, because an error after it looks like the end of the stream over HTTP/1.1.
        position = await feed.resume(engine, codec.read(request.cursor))
    else:
        position = await feed.now(engine)
    yield task_messages.heartbeat_event(codec.write(position))
    while True:
        # Missed changes are read twice: before the watch follows the hub, so that a long absence does not make it too
        # slow, and once it follows, for the changes that were committed in between.
        async for page in _pages(watch_hub, position):
            position = page.position
            for event in _events(page, wanted, codec):
                yield event
        watching = subscription.Watch(wanted=wanted)
        async with watch_hub.subscribed(watching):
            async for page in _pages(watch_hub, position):
                position = page.position
                for event in _events(page, wanted, codec):
                    yield event
            watching.sent = position
            async for entry in watching.changes():
                if entry is None:
                    position = watching.idle_position()
                    yield task_messages.heartbeat_event(codec.write(position))
                else:
                    position = watching.position_after(entry)
                    yield task_messages.change_event(entry.log, codec.write(position))
        # PostgreSQL was restarted, or many changes arrived at once. A caller that reads them continues as with a
        # cursor; `rpc.errors` aborts the watch of one that does not.
        if watching.end_reason not in (subscription.WATCHER_TOO_SLOW, subscription.NEW_HISTORY):
            break
    yield task_messages.end_event(watching.end_reason or subscription.SERVER_STOPPING, codec.write(position))


async def _pages(watch_hub: hub.Hub, position: snapshot.Position) -> AsyncIterator[feed.Page]:
    is_last = False
    while not is_last:
        page = await watch_hub.catch_up(position)
        position, is_last = page.position, page.is_last
        yield page


def _events(
    page: feed.Page, wanted: filters.WatchFilter, codec: cursors.Cursors
) -> Iterator[task_service_pb2.TaskEvent]:
    for entry in page.entries:
        if subscription.matches(wanted, entry):
            yield task_messages.change_event(entry.log, codec.write(entry.position))
