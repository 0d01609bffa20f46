"""Creates that share commits, in one process."""

import asyncio
import contextlib
import contextvars
import datetime
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime_core.model import errors, task
from duetime_core.postgres import database
from duetime_core.process import background
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import creation
from duetime_core.store.tasks import read as task_read
from duetime_server.rpc import turns
from duetime_server.tasks import creator
from tests.support import factories, rows

Engine = sqlalchemy_asyncio.AsyncEngine


@pytest_asyncio.fixture
async def create(engine: Engine, redis_url: str) -> AsyncIterator[creator.Creator]:
    client = redis_client.connect(redis_url)
    create = creator.Creator(engine, doorbell.Doorbell(client))
    services = background.start(create.run())
    yield create
    await background.end(services)
    await client.aclose(close_connection_pool=True)


async def commits(engine: Engine) -> int:
    async with engine.connect() as connection:
        counted: int = (await connection.execute(sa.text("SELECT count(DISTINCT xid) FROM task_logs"))).scalar_one()
        return counted


async def test_creates_that_come_together_share_commits(create: creator.Creator, engine: Engine) -> None:
    created = await asyncio.gather(*(create.create(factories.new_task(name=str(number))) for number in range(100)))
    assert [(await task_read.get(engine, each.task_id)).name for each in created] == [str(n) for n in range(100)]
    assert await commits(engine) <= 3


async def test_a_create_that_arrives_alone_does_not_wait_for_others(create: creator.Creator, engine: Engine) -> None:
    for _ in range(3):
        await create.create(factories.new_task())
    assert await commits(engine) == 3


async def test_a_caller_who_hangs_up_does_not_disturb_the_others(create: creator.Creator) -> None:
    calls = [asyncio.create_task(create.create(factories.new_task())) for _ in range(20)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False] * 10
    assert (await create.create(factories.new_task())).is_new


async def test_one_task_that_postgresql_does_not_take_does_not_fail_the_others(create: creator.Creator) -> None:
    news = [factories.new_task(name="NUL \0" if number == 3 else "noop") for number in range(8)]
    answers = await asyncio.gather(*(create.create(new) for new in news), return_exceptions=True)
    assert isinstance(answers[3], sqlalchemy.exc.DBAPIError)
    assert all(not isinstance(answer, BaseException) for answer in answers[:3] + answers[4:])


async def test_a_create_that_failed_leaves_the_next_one_as_it_is(create: creator.Creator, engine: Engine) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text("ALTER TABLE tasks RENAME TO tasks_away"))
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            await create.create(factories.new_task())
        await connection.execute(sa.text("ALTER TABLE tasks_away RENAME TO tasks"))
    assert (await create.create(factories.new_task())).is_new


async def test_a_request_id_that_cannot_be_looked_up_fails_alone_and_nothing_is_created_twice(
    create: creator.Creator, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[int] = []
    monkeypatch.setattr(create._bell, "changed", announced.extend)
    await create.create(factories.new_task(request_id="r"))
    monkeypatch.setattr(
        creation, "FIND_REQUESTS", sa.text("SELECT 1 / 0 WHERE CAST(:request_ids AS text[]) IS NOT NULL")
    )
    news = [factories.new_task(request_id="r" if number == 3 else None) for number in range(8)]
    answers = await asyncio.gather(*(create.create(new) for new in news), return_exceptions=True)
    assert isinstance(answers.pop(3), sqlalchemy.exc.DBAPIError)
    assert announced == [1, *(each.task_id for each in answers if isinstance(each, task_create.Created))]
    assert len(announced) == 8
    assert await rows.count(engine) == 8


async def test_all_or_none_are_created(create: creator.Creator, engine: Engine) -> None:
    await create.create(factories.new_task(request_id="r"))
    other = task.NewTask("other", datetime.datetime.now(datetime.UTC), request_id="r")
    with pytest.raises(errors.RequestIdReused):
        await create.create_all([factories.new_task(), other])
    assert await commits(engine) == 1


async def test_batches_that_use_the_same_request_at_once_draw_ids_for_one(
    create: creator.Creator, engine: Engine
) -> None:
    batches = [
        [*(factories.new_task() for _ in range(99)), factories.new_task(name=str(number), request_id="r")]
        for number in range(10)
    ]
    answers = await asyncio.gather(*map(create.create_all, batches), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["RequestIdReused"] * 9 + ["list"]
    alone = asyncio.create_task(create.create(factories.new_task(request_id="s")))
    while not create._in_flight._ends:  # noqa: ASYNC110 - a turn of the loop later it is
        await asyncio.sleep(0)
    others = await asyncio.gather(
        *(create.create_all([*batch[:99], factories.new_task(name="x", request_id="s")]) for batch in batches),
        return_exceptions=True,
    )
    assert all(isinstance(answer, errors.RequestIdReused) for answer in others)
    assert (await alone).is_new
    again = await asyncio.gather(*(create.create_all([batches[0][0], batches[0][-1]]) for _ in range(3)))
    assert len({batch[1].task_id for batch in again if len(batch) == 2}) == 1
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT last_value FROM tasks_task_id_seq")) == await rows.count(engine)
    assert create._in_flight._ends == {}


@contextlib.asynccontextmanager
async def stalled(engine: Engine) -> AsyncIterator[None]:
    """Lets creates wait for a lock as long as the block lasts."""
    async with database.transaction(engine) as connection:
        await connection.execute(sa.text(rows.lock_all("SHARE")))
        yield


async def called(create: creator.Creator, number: int) -> list[asyncio.Task[task_create.Created]]:
    """Begins so many creates, once one is under way; they wait for it."""
    calls = [asyncio.create_task(create.create(factories.new_task()))]
    for _ in range(5):  # turns of the loop, in which the creator takes it
        await asyncio.sleep(0)
    calls += [asyncio.create_task(create.create(factories.new_task())) for _ in range(number)]
    await asyncio.sleep(0)
    assert len(create._waiting) == number
    return calls


async def test_who_hangs_up_while_a_commit_stalls_leaves_nothing_behind(
    create: creator.Creator, engine: Engine
) -> None:
    async with stalled(engine):
        first, *waiting = await called(create, 100)
        for each in waiting[1:]:
            each.cancel()
        await asyncio.wait(waiting[1:])
        assert len(create._waiting) == 1
    await asyncio.gather(first, waiting[0])
    assert await rows.count(engine) == 2


async def test_only_so_many_wait_while_a_commit_stalls(
    create: creator.Creator, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creator, "MAX_WAITING", 10)
    async with stalled(engine):
        waiting = await called(create, 10)
        with pytest.raises(errors.ServerBusy, match="Too many creates are waiting for the database"):
            await create.create(factories.new_task())
    assert all(created.is_new for created in await asyncio.gather(*waiting))


async def test_only_so_many_bytes_wait_while_a_commit_stalls(
    create: creator.Creator, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creator, "MAX_WAITING_BYTES", 1_000)
    async with stalled(engine):
        waiting = await called(create, 1)
        waiting.append(asyncio.create_task(create.create(factories.new_task(), size=900)))
        await asyncio.sleep(0)
        with pytest.raises(errors.ServerBusy, match="Too many creates are waiting for the database"):
            await create.create(factories.new_task(), size=200)
    assert all(created.is_new for created in await asyncio.gather(*waiting))


def created_by(create: creator.Creator, owner: str, size: int = 0) -> asyncio.Task[task_create.Created]:
    """Begins a create of a principal."""
    context = contextvars.copy_context()
    context.run(turns.owner.set, owner)
    return asyncio.create_task(create.create(factories.new_task(), size=size), context=context)


async def test_the_flood_of_one_principal_leaves_room_for_another_and_takes_turns_with_it(
    create: creator.Creator, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creator, "MAX_WAITING", 100)
    monkeypatch.setattr(creator, "MAX_BATCH", 10)
    async with stalled(engine):
        first = await called(create, 0)
        flood = [created_by(create, "flood") for _ in range(200)]
        await asyncio.sleep(0)
        assert len(create._waiting) == 50
        others = [created_by(create, "other") for _ in range(3)]
        await asyncio.sleep(0)
        batch = create._next_batch()
        assert [wanted.owner for wanted in batch] == ["flood", "other"] * 3 + ["flood"] * 4
        for wanted in batch:
            create._waiting.add(wanted)
    await asyncio.gather(*first, *others)
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["Created"] * 50 + ["ServerBusy"] * 150


async def test_the_bytes_of_one_principal_leave_room_for_another(
    create: creator.Creator, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creator, "MAX_WAITING_BYTES", 1_000)
    async with stalled(engine):
        first = await called(create, 0)
        flood = [created_by(create, "flood", 100) for _ in range(20)]
        others = [created_by(create, "other", 100) for _ in range(2)]
        await asyncio.sleep(0)
        assert len(create._waiting) == 7
    await asyncio.gather(*first, *others)
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["Created"] * 5 + ["ServerBusy"] * 15


async def test_a_create_with_an_error_that_nobody_expects_fails_alone(
    create: creator.Creator, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_as_ever = task_create.create

    async def failing(engine: Engine, news: list[task.NewTask], *, actor: str) -> list[task_create.Created | Exception]:
        if any(new.name == "odd" for new in news):
            raise KeyError("a bug")
        return [*await create_as_ever(engine, news, actor=actor)]

    monkeypatch.setattr(task_create, "create", failing)
    news = [factories.new_task(name="odd" if number == 3 else "noop") for number in range(8)]
    answers = await asyncio.gather(*(create.create(new) for new in news), return_exceptions=True)
    assert isinstance(answers.pop(3), KeyError)
    assert all(isinstance(answer, task_create.Created) for answer in answers)
