"""The two watches, as streams of events."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core import snapshot, task
from duetime_core.store import feed, reads
from duetime_server import fields, hub, messages, requests, tokens, violations, watch

_PAGE = 1000

Events = AsyncGenerator[task_service_pb2.TaskEvent, None]


async def watch_task(
    engine: sqlalchemy_asyncio.AsyncEngine, feeder: hub.Hub, request: task_service_pb2.WatchTaskRequest
) -> Events:
    """Streams the changes of one task, and ends once it is terminal. Raises TaskNotFound or InvalidArgument."""
    task_id = fields.task_id(request.task_id)
    told = _version(task_id, request.cursor)
    watching = watch.Watch(task_id=task_id)
    async with feeder.subscribed(watching):
        if told is None:  # begin with the row of how it stands; if it moves meanwhile, with that row too
            told = (await reads.get(engine, task_id)).version - 1
            last = None
        else:  # read the row that was told last again: it says whether there will be more
            (last, *_) = await reads.list_logs(engine, task_id, after_version=told - 1, limit=1) or (None,)
            if last is None or last.version != told:
                raise violations.refuse("cursor", tokens.UNKNOWN)
        while logs := await reads.list_logs(engine, task_id, after_version=told, limit=_PAGE):
            for last in logs:
                watching.version = told = last.version
                yield messages.change_event(last, _cursor(task_id, told))
            if len(logs) < _PAGE:
                break
        watching.version = told
        if last is not None and _is_over(last):
            yield messages.end_event(watch.TASK_TERMINAL, _cursor(task_id, told))
            return
        async for entry in watching.changes():
            if entry is None:
                yield messages.alive_event(_cursor(task_id, told))
                continue
            told = entry.log.version
            yield messages.change_event(entry.log, _cursor(task_id, told))
            if _is_over(entry.log):
                yield messages.end_event(watch.TASK_TERMINAL, _cursor(task_id, told))
                return
        yield messages.end_event(watching.end_reason or watch.SERVER_STOPPING, _cursor(task_id, told))


async def watch_tasks(
    engine: sqlalchemy_asyncio.AsyncEngine, feeder: hub.Hub, request: task_service_pb2.WatchTasksRequest
) -> Events:
    """Streams the changes of all tasks that match a filter. Raises InvalidArgument."""
    wanted = requests.task_filter(request)
    scope = ("WatchTasks", wanted)
    position = _position(scope, request.cursor)
    if position is None:
        position = await feed.now(engine)
        yield messages.alive_event(tokens.encode(scope, str(position)))
    # What was missed is read twice: once before the hub feeds this watch, so that a long absence does not make
    # it too slow, and once when it is fed, for what came in between.
    async for page in _pages(engine, position):
        position = page.position
        for event in _events(page, wanted, scope):
            yield event
    watching = watch.Watch(wanted=wanted)
    async with feeder.subscribed(watching):
        async for page in _pages(engine, position):
            position = page.position
            for event in _events(page, wanted, scope):
                yield event
        watching.seen = position.seen
        cursor = tokens.encode(scope, str(position))
        async for entry in watching.changes():
            if entry is None:
                cursor = tokens.encode(scope, str(watching.idle_position()))
                yield messages.alive_event(cursor)
            else:
                cursor = tokens.encode(scope, str(watching.position_after(entry)))
                yield messages.change_event(entry.log, cursor)
        yield messages.end_event(watching.end_reason or watch.SERVER_STOPPING, cursor)


async def _pages(engine: sqlalchemy_asyncio.AsyncEngine, position: snapshot.Position) -> AsyncIterator[feed.Page]:
    is_last = False
    while not is_last:
        page = await feed.read(engine, position, limit=_PAGE)
        position, is_last = page.position, page.is_last
        yield page


def _events(page: feed.Page, wanted: reads.Filter, scope: object) -> Iterator[task_service_pb2.TaskEvent]:
    for entry in page.entries:
        if watch.matches(wanted, entry):
            yield messages.change_event(entry.log, tokens.encode(scope, str(entry.position)))


def _position(scope: object, cursor: str) -> snapshot.Position | None:
    if not cursor:
        return None
    try:
        return snapshot.Position.parse(str(tokens.decode("cursor", cursor, scope)))
    except ValueError:
        raise violations.refuse("cursor", tokens.UNKNOWN) from None


def _version(task_id: int, cursor: str) -> int | None:
    if not cursor:
        return None
    version = tokens.decode("cursor", cursor, ("WatchTask", task_id))
    if not isinstance(version, int) or not 1 <= version < 2**31:
        raise violations.refuse("cursor", tokens.UNKNOWN)
    return version


def _cursor(task_id: int, version: int) -> str:
    return tokens.encode(("WatchTask", task_id), version)


def _is_over(log: task.TaskLog) -> bool:
    return log.status in task.TERMINAL
