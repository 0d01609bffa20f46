"""Updates of tasks, validated for their handlers."""

import pytest
from google.protobuf import field_mask_pb2
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio

from duetime.v1 import task_service_pb2
from duetime_core.model import builtin, errors, task
from duetime_core.store.tasks import read as task_read
from duetime_server.rpc import offload
from duetime_server.tasks import handler_catalog, update
from tests.support import factories

Engine = sqlalchemy_asyncio.AsyncEngine
EMAIL = {"email": "ada@example.com"}


async def apply(
    engine: Engine, catalog: handler_catalog.HandlerCatalog, request: task_service_pb2.UpdateTaskRequest
) -> task.Task:
    updated, _ = await update.update(engine, catalog, offload.Offload(), request)
    return updated


async def test_only_the_given_fields_change(engine: Engine, catalog: handler_catalog.HandlerCatalog) -> None:
    task_id = await factories.create(engine, queue="mail", priority=1)
    updated = await apply(engine, catalog, task_service_pb2.UpdateTaskRequest(task_id=task_id, priority=3))
    assert (updated.priority, updated.queue, updated.version) == (3, "mail", 2)


async def test_retries_that_the_mask_names_and_the_request_leaves_unset_become_the_handlers(
    engine: Engine, catalog: handler_catalog.HandlerCatalog
) -> None:
    task_id = await factories.create(engine, name="Send Email", task_data=EMAIL, max_retries=0)
    mask = field_mask_pb2.FieldMask(paths=["max_retries"])
    updated = await apply(engine, catalog, task_service_pb2.UpdateTaskRequest(task_id=task_id, update_mask=mask))
    assert updated.max_retries == builtin.SPECS["Send Email"].retries.max_retries


async def test_a_change_that_the_handler_would_refuse_is_refused(
    engine: Engine, catalog: handler_catalog.HandlerCatalog
) -> None:
    task_id = await factories.create(engine, task_data={"a": 1})
    with pytest.raises(errors.InvalidArgument, match=r"^task_data\.email: is required"):
        await apply(engine, catalog, task_service_pb2.UpdateTaskRequest(task_id=task_id, name="Send Email"))
    assert (await task_read.get(engine, task_id)).name == "noop"


@pytest.mark.parametrize("changes", [{"priority": 3}, {"name": "other"}])
async def test_a_stale_version_is_refused(
    engine: Engine, catalog: handler_catalog.HandlerCatalog, changes: dict[str, object]
) -> None:
    task_id = await factories.create(engine)
    request = task_service_pb2.UpdateTaskRequest(task_id=task_id, version=7, **changes)  # type: ignore[arg-type]
    with pytest.raises(errors.VersionMismatch):
        await apply(engine, catalog, request)
