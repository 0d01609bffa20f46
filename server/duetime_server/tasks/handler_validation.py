"""Validates new and changed tasks for their handlers.

Tasks that a built-in handler would refuse when they run are refused at once, unless a user's handler replaces it: a
refusal is first checked against the database. A task that sets no retries gets its handler's.
"""

import asyncio
import dataclasses
import datetime
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import duetime_payloads
from duetime.v1 import task_service_pb2
from duetime_core.model import builtin, secret, task, validation
from duetime_server.access import limits
from duetime_server.rpc import offload, violations
from duetime_server.tasks import requests as task_requests
from duetime_server.tasks import retries
from duetime_server.tasks.handler_catalog import DEFAULT_RETRIES, HandlerCatalog

_TURN_SECONDS = 0.01
"""How long models are validated before other calls get a turn."""


@dataclasses.dataclass(frozen=True, slots=True)
class HandlerInput:
    """The fields of a task that its handler validates; None skips one."""

    name: str
    task_data: dict[str, Any] | None
    timeout: datetime.timedelta | None
    is_name_given: bool = True
    """Whether the request sets the name."""
    path: str = ""
    """Its path in the request, such as `requests[3].`."""


async def check(catalog: HandlerCatalog, tasks: Collection[HandlerInput]) -> None:
    """Raises InvalidArgument for tasks that built-in handlers would refuse, and for names that are almost theirs.

    Afterwards the catalog has the defaults of the tasks' handlers.
    """
    for name in {each.name for each in tasks}:
        await catalog.look_up(name)
    doubtful = [each for each in tasks if catalog.spec(each.name) or catalog.meant(each.name)]
    if not doubtful:
        return
    problems = await _violations(catalog, doubtful)
    if problems.are_any:
        # A worker may just have announced another handler.
        await catalog.refresh()
        (await _violations(catalog, doubtful)).check()


async def _violations(catalog: HandlerCatalog, tasks: Iterable[HandlerInput]) -> violations.Violations:
    problems, began = violations.Violations(), time.monotonic()
    for given in tasks:
        with problems.within(given.path):
            for field, problem in _problems(catalog, given):
                problems.add(field, problem)
        if time.monotonic() - began > _TURN_SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
    return problems


def _problems(catalog: HandlerCatalog, given: HandlerInput) -> Iterator[tuple[str, str]]:
    meant = catalog.meant(given.name)
    if meant and given.is_name_given:
        yield "name", f"names no handler: {given.name!r}; did you mean {meant!r}?"
    spec = catalog.spec(given.name)
    if spec is None:
        return
    if given.task_data is not None and not duetime_payloads.is_encrypted(given.task_data):
        yield from _payload_problems(spec, given.task_data)
    if given.timeout is not None and given.timeout > spec.max_timeout:
        longest, found = (each.total_seconds() for each in (spec.max_timeout, given.timeout))
        yield "timeout", f"must be at most {longest:g} s for {spec.name}, not {found:g} s"


def _payload_problems(spec: builtin.Spec, task_data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        validation.check(spec.model, _without_references(task_data))
    except validation.Invalid as error:
        for path, problem in error.problems:
            yield f"task_data.{path}" if path else "task_data", problem


def _without_references(task_data: dict[str, Any]) -> dict[str, Any]:
    if not secret.are_in(task_data):
        return task_data
    try:
        return secret.replaced(task_data, lambda _: validation.Unknown("a secret"))
    except secret.InvalidReference as error:  # of a task that an earlier release created
        raise validation.Invalid([(error.path.removeprefix("."), error.problem)]) from None


async def new_task(
    catalog: HandlerCatalog, offloader: offload.Offload, request: task_service_pb2.CreateTaskRequest
) -> task.NewTask:
    """Reads a new task and validates it for its handler. Raises InvalidArgument, PermissionDenied."""
    new = await offloader.read(task_requests.new_task, request)
    limits.check(handler=new.name, queue=new.queue)
    await check(catalog, [HandlerInput(new.name, new.task_data, new.timeout)])
    return _with_retries(catalog, new, request)


async def new_tasks(
    catalog: HandlerCatalog, offloader: offload.Offload, request: task_service_pb2.BatchCreateTasksRequest
) -> list[task.NewTask]:
    """Reads new tasks and validates them for their handlers. Raises InvalidArgument, PermissionDenied."""
    news = await offloader.read(task_requests.new_tasks, request)
    for new in news:
        limits.check(handler=new.name, queue=new.queue)
    await check(
        catalog,
        [
            HandlerInput(new.name, new.task_data, new.timeout, path=f"requests[{position}].")
            for position, new in enumerate(news)
        ],
    )
    return [_with_retries(catalog, new, each) for new, each in zip(news, request.requests, strict=True)]


def _with_retries(
    catalog: HandlerCatalog, new: task.NewTask, request: task_service_pb2.CreateTaskRequest
) -> task.NewTask:
    default = catalog.retries(new.name)
    if default == DEFAULT_RETRIES:
        return new
    requested, completed = task.Retries(new.max_retries, new.retry_policy), retries.read(request, default)
    return dataclasses.replace(
        new, max_retries=completed.max_retries, retry_policy=completed.retry_policy, requested_retries=requested
    )
