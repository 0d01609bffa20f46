"""Lists and histories have the matching tasks in order, page by page, each once."""

import dataclasses
import datetime
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import page as task_page
from duetime_core.store.tasks import read as task_read
from tests import conftest
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine
FIRST = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
ORDERS: tuple[task_page.Order, ...] = ("execution_time", "execution_time desc", "task_id", "task_id desc")


async def create_tasks(engine: Engine) -> list[task.Task]:
    """Creates tasks of two names in three queues, which share times, and returns them.

    A quarter each is cancelled, running, quarantined. Of five one has a key, of three one a schedule, and each a
    request_id.
    """
    made = []
    for number in range(24):
        task_id = await factories.create(
            engine,
            name=f"name {number % 2}",
            queue=f"queue-{number % 3}",
            execution_time=FIRST + (7 * number % 3) * HOUR,
            concurrency_key="key" if number % 5 == 0 else None,
            request_id=f"request {number}",
        )
        if number % 3 == 0:
            columns = f"schedule_id = 7, nominal_time = now() + {number} * interval '1 s'"
            await rows.change(engine, columns, task_id)
        match number % 4:
            case 0:
                await task_edit.cancel(engine, task_id, actor="api")
            case 1:
                await rows.start(engine, task_id)
            case 2:
                await rows.change(engine, "lost_leases = 2", task_id)
        made.append(await task_read.get(engine, task_id))
    return made


@dataclasses.dataclass(frozen=True)
class Filled:
    """A database with these tasks."""

    engine: Engine
    tasks: list[task.Task]


@pytest_asyncio.fixture(scope="module")
async def filled(admin: Engine) -> AsyncIterator[Filled]:
    """A database that tests share, which only read it."""
    async with conftest.new_database(admin) as url:
        engine = database.connect(url)
        yield Filled(engine, await create_tasks(engine))
        await engine.dispose()


def in_order(tasks: list[task.Task], order: task_page.Order) -> list[task.Task]:
    def by_id(each: task.Task) -> tuple[object, ...]:
        return (each.task_id,)

    def by_time(each: task.Task) -> tuple[object, ...]:
        return (each.execution_time, each.task_id)

    return sorted(tasks, key=by_id if order.startswith("task_id") else by_time, reverse=order.endswith("desc"))


async def list_all(engine: Engine, wanted: task_page.Filter, order: task_page.Order, limit: int) -> list[task.Task]:
    listed: list[task.Task] = []
    after = None
    while True:
        page = await task_read.list_tasks(engine, wanted, order=order, after=after, limit=limit)
        assert len(page.tasks) <= limit
        listed += page.tasks
        if page.is_last:
            return listed
        after = (page.tasks[-1].execution_time, page.tasks[-1].task_id)


@pytest.mark.parametrize("limit", [1, 5, 24, 1000])
@pytest.mark.parametrize("order", ORDERS)
async def test_pages_of_any_size_hold_each_task_once_in_order(
    filled: Filled, order: task_page.Order, limit: int
) -> None:
    assert await list_all(filled.engine, task_page.Filter(), order, limit) == in_order(filled.tasks, order)


FILTERS: list[tuple[task_page.Filter, Callable[[task.Task], bool]]] = [
    (task_page.Filter(statuses=(task.Status.CANCELLED,)), lambda each: each.status is task.Status.CANCELLED),
    (
        task_page.Filter(statuses=(task.Status.PENDING, task.Status.CANCELLED)),
        lambda each: each.status is not task.Status.RUNNING,
    ),
    (
        task_page.Filter(statuses=(task.Status.RUNNING, task.Status.FAILED)),
        lambda each: each.status is task.Status.RUNNING,
    ),
    (task_page.Filter(statuses=(task.Status.FAILED,)), lambda _: False),
    (
        task_page.Filter(statuses=(task.Status.PENDING,), queue="queue-1"),
        lambda each: (each.status, each.queue) == (task.Status.PENDING, "queue-1"),
    ),
    (task_page.Filter(queue="queue-1"), lambda each: each.queue == "queue-1"),
    (task_page.Filter(queue="queue-1' OR true --"), lambda _: False),
    (task_page.Filter(name="name 1"), lambda each: each.name == "name 1"),
    (
        task_page.Filter(queue="queue-1", due_from=FIRST + HOUR),
        lambda each: each.queue == "queue-1" and each.execution_time >= FIRST + HOUR,
    ),
    (task_page.Filter(due_from=FIRST + HOUR), lambda each: each.execution_time >= FIRST + HOUR),
    (task_page.Filter(due_before=FIRST + HOUR), lambda each: each.execution_time < FIRST + HOUR),
    (task_page.Filter(schedule_id=7), lambda each: each.schedule_id == 7),
    (task_page.Filter(schedule_id=8), lambda _: False),
    (
        task_page.Filter(schedule_id=7, statuses=(task.Status.RUNNING,)),
        lambda each: (each.schedule_id, each.status) == (7, task.Status.RUNNING),
    ),
    (
        task_page.Filter(schedule_id=7, queue="queue-0", due_from=FIRST, due_before=FIRST + HOUR),
        lambda each: (each.schedule_id, each.queue, each.execution_time) == (7, "queue-0", FIRST),
    ),
    (task_page.Filter(concurrency_key="key"), lambda each: each.concurrency_key == "key"),
    (
        task_page.Filter(concurrency_key="key", schedule_id=7, name="name 1"),
        lambda each: (each.concurrency_key, each.schedule_id, each.name) == ("key", 7, "name 1"),
    ),
    (task_page.Filter(request_id="request 5"), lambda each: each.request_id == "request 5"),
    (task_page.Filter(request_id="request 5", statuses=(task.Status.COMPLETED,)), lambda _: False),
    (task_page.Filter(name_prefix="name"), lambda _: True),
    (task_page.Filter(name_prefix="name 1"), lambda each: each.name == "name 1"),
    (task_page.Filter(name_prefix="name%"), lambda _: False),
    (
        task_page.Filter(name_prefix="name ", statuses=(task.Status.RUNNING,)),
        lambda each: each.status is task.Status.RUNNING,
    ),
    (
        task_page.Filter(name_prefix="name", statuses=(task.Status.CANCELLED,), due_from=FIRST + HOUR),
        lambda each: each.status is task.Status.CANCELLED and each.execution_time >= FIRST + HOUR,
    ),
    (
        task_page.Filter(name_prefix="name", queue="queue-2", concurrency_key="key"),
        lambda each: (each.queue, each.concurrency_key) == ("queue-2", "key"),
    ),
    (
        task_page.Filter((task.Status.PENDING,), "queue-1", "name 1", FIRST + HOUR, FIRST + 2 * HOUR),
        lambda each: (
            (each.status, each.queue, each.name, each.execution_time)
            == (task.Status.PENDING, "queue-1", "name 1", FIRST + HOUR)
        ),
    ),
]


NAMES = ["a", "ab", "ab ", "aB", "abc", "ab\U0010ffff", "abÿ", "ac", "a%", "a_b", "b", "ÄB", "äb", "äbc"]


@pytest.mark.parametrize("prefix", ["a", "ab", "ab\U0010ffff", "ä", "a%", "a_", "b", "\U0010ffff", "A"])
async def test_a_name_prefix_matches_letter_by_letter(engine: Engine, prefix: str) -> None:
    for name in NAMES:
        await factories.create(engine, name=name, execution_time=FIRST)
    listed = await list_all(engine, task_page.Filter(name_prefix=prefix), "execution_time", 3)
    assert sorted(each.name for each in listed) == sorted(name for name in NAMES if name.startswith(prefix))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("wanted", "matches"), FILTERS)
async def test_a_filter_matches_by_all_its_fields(
    filled: Filled,
    order: task_page.Order,
    wanted: task_page.Filter,
    matches: Callable[[task.Task], bool],
) -> None:
    matching = [each for each in filled.tasks if matches(each)]
    assert await list_all(filled.engine, wanted, order, 2) == in_order(matching, order)


async def test_a_task_that_moves_between_pages_hides_no_other(engine: Engine) -> None:
    wanted = in_order(await create_tasks(engine), "task_id")
    page = await task_read.list_tasks(engine, task_page.Filter(), order="task_id", after=None, limit=4)
    await task_edit.delete(engine, page.tasks[-1].task_id, actor="api")
    await factories.create(engine)
    after = (page.tasks[-1].execution_time, page.tasks[-1].task_id)
    rest = await task_read.list_tasks(engine, task_page.Filter(), order="task_id", after=after, limit=100)
    assert rest.tasks[:-1] == wanted[4:]


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_of_large_tasks_are_short_and_hold_each_task_once(engine: Engine, order: task_page.Order) -> None:
    # Large as text but small as stored; large as both; small.
    packed, full = {"numbers": [0] * 80_000}, {"text": random.Random(1).randbytes(120_000).hex()}
    news = [factories.new_task(task_data=[packed, {}, full, {}][number % 4]) for number in range(120)]
    await task_create.create(engine, news, actor="api")
    listed: list[task.Task] = []
    after, is_last = None, False
    while not is_last:
        page = await task_read.list_tasks(engine, task_page.Filter(), order=order, after=after, limit=100)
        sizes = [len(json.dumps(each.task_data)) for each in page.tasks]
        assert sum(sizes[:-1]) < task_page.MAX_PAGE_BYTES
        listed += page.tasks
        after, is_last = (page.tasks[-1].execution_time, page.tasks[-1].task_id), page.is_last
        assert is_last or sum(sizes) > task_page.MAX_PAGE_BYTES * 0.9
    assert [each.task_id for each in listed] == [each.task_id for each in in_order(listed, order)]
    assert len({each.task_id for each in listed}) == len(listed) == 120


async def test_a_task_larger_than_a_page_has_a_page_of_its_own(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_page, "MAX_PAGE_BYTES", 1)
    task_page._list.cache_clear()
    task_ids = [await factories.create(engine) for _ in range(3)]
    page = await task_read.list_tasks(engine, task_page.Filter(), order="task_id", after=None, limit=10)
    assert ([each.task_id for each in page.tasks], page.is_last) == (task_ids[:1], False)
    assert [each.task_id for each in await list_all(engine, task_page.Filter(), "task_id", 10)] == task_ids
    task_page._list.cache_clear()


async def test_a_deleted_task_is_hidden_but_its_history_is_not(engine: Engine) -> None:
    task_id = await factories.create(engine)
    await task_edit.delete(engine, task_id, actor="api")
    for read in (task_read.get, task_read.get_status):
        with pytest.raises(errors.TaskNotFound) as refused:
            await read(engine, task_id)
        assert refused.value.metadata == {"task_id": str(task_id)}
    assert await list_all(engine, task_page.Filter(), "task_id", 10) == []
    assert await factories.history(engine, task_id) == ["created", "deleted"]


async def test_the_status_alone_can_be_read(engine: Engine) -> None:
    for status in task.Status:
        task_id = await factories.brought_to(engine, status)
        assert await task_read.get_status(engine, task_id) is status


async def test_a_history_is_read_page_by_page(engine: Engine) -> None:
    task_id = await factories.create(engine)
    for number in range(5):
        await task_edit.update(engine, task_id, {"name": f"name {number}"}, version=None, actor="api")
    pages = [
        [log.version for log in await task_read.list_logs(engine, task_id, after_version=after, limit=2)]
        for after in (0, 2, 4, 6)
    ]
    assert pages == [[1, 2], [3, 4], [5, 6], []]


async def test_a_history_has_the_actor_change_and_time_of_each_row(engine: Engine) -> None:
    task_id = await factories.create(engine)
    await factories.claim(engine, worker_id="worker-1")
    await task_edit.cancel(engine, task_id, actor="a caller")
    logs = await task_read.list_logs(engine, task_id, after_version=0, limit=10)
    assert [(log.status, log.change, log.actor) for log in logs] == [
        (task.Status.PENDING, "created", "api"),
        (task.Status.RUNNING, "started", "worker-1"),
        (task.Status.CANCELLED, "cancelled", "a caller"),
    ]
    assert all(earlier.timestamp <= later.timestamp for earlier, later in itertools.pairwise(logs))
    assert (await task_read.get(engine, task_id)).updated_at == logs[-1].timestamp


async def test_a_history_spans_the_partitions_of_the_log(engine: Engine) -> None:
    task_id = await factories.create(engine)
    async with engine.connect() as connection:
        await connection.execute(sa.text("UPDATE task_logs SET timestamp = timestamp - interval '40 years'"))
    await task_edit.cancel(engine, task_id, actor="api")
    assert await factories.history(engine, task_id) == ["created", "cancelled"]


async def test_the_history_of_a_task_that_never_existed_is_not_found(engine: Engine) -> None:
    with pytest.raises(errors.TaskNotFound):
        await task_read.list_logs(engine, 12345, after_version=0, limit=10)
