"""Lists of tasks and of their logs, page by page."""

import pytest
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import errors, task
from duetime_core.redis import doorbell
from duetime_core.store.tasks import create as task_create
from duetime_core.store.tasks import edit as task_edit
from duetime_core.store.tasks import page as task_page
from duetime_server.rpc import offload, tokens
from duetime_server.tasks import bulk, pages
from tests.support import factories

Engine = sqlalchemy_asyncio.AsyncEngine


@pytest.mark.parametrize("order_by", ["task_id", "execution_time desc"])
async def test_pages_have_each_task_once_in_order(engine: Engine, order_by: str) -> None:
    created = [await factories.create(engine) for _ in range(5)]
    found: list[int] = []
    token = ""
    while not found or token:
        request = task_service_pb2.ListTasksRequest(page_size=2, page_token=token, order_by=order_by)
        page = await pages.list_tasks(engine, offload.Offload(), request)
        found += [each.task_id for each in page.tasks]
        token = page.next_page_token
    assert found == (created if order_by == "task_id" else created[::-1])


async def test_a_token_of_another_order_or_a_forged_one_is_refused(engine: Engine) -> None:
    for _ in range(2):
        await factories.create(engine)
    request = task_service_pb2.ListTasksRequest(page_size=1, order_by="task_id")
    request.page_token = (await pages.list_tasks(engine, offload.Offload(), request)).next_page_token
    request.order_by = "task_id desc"
    with pytest.raises(errors.InvalidArgument, match="page_token: belongs to another request"):
        await pages.list_tasks(engine, offload.Offload(), request)
    with pytest.raises(errors.InvalidArgument, match=f"page_token: {tokens.UNKNOWN}"):
        pages._after(["2030-01-01T00:00:00", 1])  # without an offset


async def test_logs_are_listed_by_version(engine: Engine) -> None:
    task_id = await factories.create(engine)
    await task_edit.cancel(engine, task_id, actor="api")
    request = task_service_pb2.ListTaskLogsRequest(task_id=task_id, page_size=1)
    first = await pages.list_logs(engine, request)
    request.page_token = first.next_page_token
    second = await pages.list_logs(engine, request)
    assert [each.change for page in (first, second) for each in page.logs] == [
        task.Change.CREATED,
        task.Change.CANCELLED,
    ]
    assert not second.next_page_token


async def test_a_prefix_of_too_many_names_is_refused_unless_another_filter_finds_the_tasks(
    engine: Engine, bell: doorbell.Doorbell
) -> None:
    most = task_page.MAX_NAMES
    new = [factories.new_task(name=f"report {number}", queue="reports") for number in range(most)]
    await task_create.create(engine, new, actor="api")
    request = task_service_pb2.ListTasksRequest(name_prefix="rep", page_size=1)
    assert len((await pages.list_tasks(engine, offload.Offload(), request)).tasks) == 1
    await factories.create(engine, name="repeat")
    with pytest.raises(errors.InvalidArgument, match=r"^name_prefix: begins more than 1,000 names of tasks; give more"):
        await pages.list_tasks(engine, offload.Offload(), request)
    wanted = task_service_pb2.TaskFilter(name_prefix="rep")
    with pytest.raises(errors.InvalidArgument, match=r"^filter\.name_prefix: begins more than 1,000"):
        await bulk.change(engine, bell, task.Change.CANCELLED, task_service_pb2.CancelTasksRequest(filter=wanted))
    for narrower in ({"name_prefix": "report "}, {"name_prefix": "rep", "queue": "reports"}):
        request = task_service_pb2.ListTasksRequest(page_size=1, **narrower)  # type: ignore[arg-type]
        assert len((await pages.list_tasks(engine, offload.Offload(), request)).tasks) == 1
