"""Tasks that a built-in handler would refuse are refused at once; others get the retries of their handlers."""

import asyncio
import datetime
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

import duetime_client
from duetime_client import NewTask, TaskTemplate, errors
from duetime_core.model import namespace, task, worker
from duetime_core.process import outage
from duetime_core.store.queues import handlers, workers
from duetime_server.tasks import handler_catalog
from tests.support import processes

LATER = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
GOOD = {"email": "ada@example.com"}

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("Send Email", {}, "task_data.email: is required"),
    ("Send Email", {**GOOD, "subjet": "x"}, "task_data.subjet: is not known"),
    ("Call Webhook", {}, "task_data.url: is required"),
    ("Call Webhook", {"url": "example.com"}, "task_data.url: "),
    ("Generate Report", {"period": "last_year"}, "task_data.period: "),
    ("Generate Report", {"time_zone": "Mars/Phobos"}, "task_data.time_zone: "),
]


async def until(condition: Callable[[], Any]) -> Any:
    """Returns what the condition gives, once that is true."""
    async with asyncio.timeout(20):
        while not (found := await condition()):  # noqa: ASYNC110 - the database sends no event
            await asyncio.sleep(0.05)
    return found


async def execute(engine: sqlalchemy_asyncio.AsyncEngine, statement: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(sa.text(statement))


async def count(client: duetime_client.AsyncClient) -> int:
    return len([each async for each in client.list()])


@pytest.mark.parametrize(("name", "task_data", "problem"), WRONG)
async def test_task_data_that_a_built_in_handler_would_refuse_is_refused_by_every_rpc(
    client: duetime_client.AsyncClient, name: str, task_data: dict[str, Any], problem: str
) -> None:
    def refused(path: str) -> Any:
        return pytest.raises(errors.InvalidArgument, match=rf"^{path}{problem}".replace("[", r"\["))

    with refused(""):
        await client.create(name, LATER, task_data)
    with refused("requests[1]."):
        await client.create_many([NewTask("noop", LATER), NewTask(name, LATER, task_data)])
    with refused("task."):
        await client.create_schedule("daily", TaskTemplate(name, task_data), interval=LATER)
    assert await count(client) == 0

    task_id = await client.create("another", LATER, task_data)
    with refused(""):
        await client.update(task_id, name=name)
    schedule = await client.create_schedule("daily", TaskTemplate("another", task_data), interval=LATER)
    with refused("task."):
        await client.update_schedule(schedule.schedule_id, task=TaskTemplate(name, task_data))
    assert (await client.get(task_id)).name == "another"


async def test_an_update_is_held_to_the_handler_that_the_task_has(client: duetime_client.AsyncClient) -> None:
    task_id = await client.create("Send Email", LATER, GOOD)
    with pytest.raises(errors.InvalidArgument, match=r"^task_data\.email: is required"):
        await client.update(task_id, task_data={})
    await client.update(task_id, task_data={"email": "bob@example.com"})
    await client.update(task_id, name="another", task_data={})
    await client.update(task_id, queue="another")
    assert (await client.get(task_id)).task_data == {}


async def test_a_timeout_above_the_handlers_longest_is_refused(client: duetime_client.AsyncClient) -> None:
    problem = "^timeout: must be at most 600 s for Send Email"
    with pytest.raises(errors.InvalidArgument, match=problem):
        await client.create("Send Email", LATER, GOOD, timeout=LATER)
    task_id = await client.create("Send Email", LATER, GOOD, timeout=10 * MINUTE)
    with pytest.raises(errors.InvalidArgument, match=problem):
        await client.update(task_id, timeout=HOUR)


@pytest.mark.parametrize("name", ["send email", "Send_Email", "SendEmail", " SEND  E-MAIL", "Send Email "])
async def test_a_name_that_is_almost_a_built_in_one_is_refused_with_the_intended_one(
    client: duetime_client.AsyncClient, name: str
) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"^name: names no handler: .*did you mean 'Send Email'\?"):
        await client.create(name, LATER, GOOD)


async def test_all_that_is_wrong_with_a_batch_is_named_and_nothing_of_it_is_created(
    client: duetime_client.AsyncClient,
) -> None:
    batch = [NewTask("Send Email", LATER, GOOD), NewTask("Send Email", LATER), NewTask("send email", LATER, GOOD)]
    with pytest.raises(errors.InvalidArgument, match=r"requests\[1\]\.task_data\.email: .*requests\[2\]\.name: "):
        await client.create_many(batch)
    assert await count(client) == 0


async def test_a_users_handler_under_a_built_in_name_takes_any_task_data_even_without_live_workers(
    client: duetime_client.AsyncClient, start: processes.Starter, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    with pytest.raises(errors.InvalidArgument):
        await client.create("Send Email", LATER, {"to": "ada"})
    running = await start.worker(handlers="tests.unit.worker.handler_modules.own_email")
    await until(lambda: workers.list_workers(engine, after="", limit=1))
    # At once: a refusal is checked against the database.
    await client.create("Send Email", LATER, {"to": "ada"}, timeout=HOUR)
    running.terminate()
    assert await running.ended() == 0
    await client.create("Send Email", LATER, {"to": "ada"})
    with pytest.raises(errors.InvalidArgument):
        await client.create("Call Webhook", LATER, {"to": "ada"})


async def test_a_handler_that_is_almost_called_like_a_built_in_one_is_known_once_a_worker_has_it(
    client: duetime_client.AsyncClient, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    await handlers.announce(engine, {"send_email": None}, is_first=True)
    await client.create("send_email", LATER, {"to": "ada"})


async def test_a_worker_of_before_that_announces_nothing_may_have_its_own_handlers(
    client: duetime_client.AsyncClient, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    await workers.heartbeat(engine, worker.Heartbeat("old", ["default"], ["Send Email", "noop"], 1, 0, {}))
    with pytest.raises(errors.InvalidArgument):
        await client.create("Send Email", LATER)
    await execute(engine, "UPDATE workers SET announces = DEFAULT")
    await client.create("Send Email", LATER)


async def test_a_users_handler_with_a_built_in_name_expires_a_day_after_its_last_worker(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    await handlers.announce(engine, {"Send Email": None, "mine": None, "old": None}, is_first=True)
    await execute(engine, "UPDATE handlers SET announced_at = now() - interval '23 hours' WHERE name = 'Send Email'")
    await execute(engine, "UPDATE handlers SET announced_at = now() - interval '31 days' WHERE name = 'old'")
    await handlers.announce(engine, {}, is_first=True)
    assert (await handlers.read(engine))[namespace.DEFAULT].keys() == {"Send Email", "mine"}
    await execute(engine, "UPDATE handlers SET announced_at = now() - interval '25 hours'")
    await handlers.announce(engine, {}, is_first=True)
    assert (await handlers.read(engine))[namespace.DEFAULT].keys() == {"mine"}


async def test_the_worker_that_started_last_decides_the_retries_of_a_handler(
    engine: sqlalchemy_asyncio.AsyncEngine,
) -> None:
    former, latter = task.Retries(7), task.Retries(8, task.RetryPolicy(MINUTE, HOUR, 3.0, 0.5))
    await handlers.announce(engine, {"mine": former}, is_first=True)
    await handlers.announce(engine, {"mine": latter}, is_first=True)
    await handlers.announce(engine, {"mine": former}, is_first=False)
    assert await handlers.read(engine) == {namespace.DEFAULT: {"mine": latter}}


async def test_tasks_get_the_retries_of_their_built_in_handler_field_by_field(
    client: duetime_client.AsyncClient,
) -> None:
    mail = await client.get(await client.create("Send Email", LATER, GOOD))
    assert (mail.max_retries, mail.retry_policy.initial_backoff, mail.retry_policy.max_backoff) == (
        30,
        5 * MINUTE,
        4 * HOUR,
    )
    given = duetime_client.RetryPolicy(max_backoff=2 * MINUTE)
    mail = await client.get(await client.create("Send Email", LATER, GOOD, max_retries=0, retry_policy=given))
    assert (mail.max_retries, mail.retry_policy.initial_backoff, mail.retry_policy.max_backoff) == (
        0,
        2 * MINUTE,
        2 * MINUTE,
    )
    (batched,) = await client.create_many([NewTask("Call Webhook", LATER, {"url": "http://example.com"})])
    webhook = await client.get(batched)
    assert (webhook.max_retries, webhook.retry_policy.initial_backoff) == (10, datetime.timedelta(seconds=10))
    schedule = await client.create_schedule("daily", TaskTemplate("Generate Report"), interval=LATER)
    assert schedule.task.max_retries == 10
    assert schedule.next_task_id is not None
    assert (await client.get(schedule.next_task_id)).retry_policy.initial_backoff == MINUTE


async def test_tasks_get_the_retries_of_a_users_handler_and_show_them(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    assert (await client.get(await client.create("Patient", LATER))).max_retries == 3
    await start.worker(handlers="tests.unit.worker.handler_modules.patient")

    async def announced() -> duetime_client.Task | None:
        created = await client.get(await client.create("Patient", LATER))
        return created if created.max_retries == 12 else None

    created = await until(announced)
    assert created.retry_policy.initial_backoff == 2 * MINUTE
    assert created.retry_policy.multiplier == 3


async def test_a_task_that_is_created_as_soon_as_its_first_worker_works_gets_its_handlers_retries(
    client: duetime_client.AsyncClient, start: processes.Starter
) -> None:
    await client.create("noop", LATER)
    await start.worker(handlers="tests.unit.worker.handler_modules.patient")
    await client.create("noop", LATER)
    (task_id,) = await client.create_many([NewTask("Patient", LATER)])
    assert (await client.get(task_id)).max_retries == 12
    schedule = await client.create_schedule("daily", TaskTemplate("Patient"), interval=LATER)
    assert schedule.task.max_retries == 12


async def test_unannounced_names_are_looked_up_once_per_refresh(
    engine: sqlalchemy_asyncio.AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = handler_catalog.HandlerCatalog(engine, outage.Outage("the database", "it waits"))
    readings = 0
    read = handlers.read

    async def counted(engine: sqlalchemy_asyncio.AsyncEngine) -> dict[int, dict[str, task.Retries]]:
        nonlocal readings
        readings += 1
        return await read(engine)

    monkeypatch.setattr(handlers, "read", counted)
    await asyncio.gather(*(catalog.look_up(name) for name in ["a", "a", "b", "a", "Send Email"]))
    assert readings == 2
    for number in range(500):
        await catalog.look_up(str(number))
    assert readings == 100
    await handlers.announce(engine, {"a": task.Retries(7)}, is_first=True)
    await catalog.refresh()
    await catalog.look_up("a")
    assert (readings, catalog.retries("a").max_retries) == (101, 7)


async def test_a_repeated_request_is_the_same_one_although_its_handlers_retries_have_changed(
    client: duetime_client.AsyncClient, engine: sqlalchemy_asyncio.AsyncEngine
) -> None:
    task_id = await client.create("mine", LATER, request_id="once")
    schedule = await client.create_schedule("daily", TaskTemplate("mine"), interval=LATER, request_id="once")
    await handlers.announce(engine, {"mine": task.Retries(9)}, is_first=True)

    async def has_changed() -> bool:
        return (await client.get(await client.create("mine", LATER))).max_retries == 9

    await until(has_changed)
    due = (await client.get(task_id)).execution_time
    assert await client.create("mine", due, request_id="once") == task_id
    again = await client.create_schedule("daily", TaskTemplate("mine"), interval=LATER, request_id="once")
    assert again.schedule_id == schedule.schedule_id


async def test_an_update_that_takes_retries_away_gives_those_of_the_handler(
    client: duetime_client.AsyncClient,
) -> None:
    task_id = await client.create("Send Email", LATER, GOOD, max_retries=1)
    await client.update(task_id, max_retries=None)
    assert (await client.get(task_id)).max_retries == 30
