"""The commands that change a task: `update`, `delete`, `cancel` and `retry`."""

from typing import Annotated, Any

import typer

import duetime_client
from duetime_client.cli import arguments, creating, moments, printing, session


def update(
    task_id: session.TaskId,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Its handler.", show_default=False)] = None,
    at: creating.At = None,
    in_: creating.In = None,
    zone: creating.Zone = None,
    data: creating.Data = None,
    queue: creating.Queue = None,
    max_retries: creating.MaxRetries = None,
    timeout: creating.Timeout = None,
    priority: creating.Priority = None,
    key: creating.ConcurrencyKey = None,
    version: Annotated[int | None, arguments.version()] = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Change a pending task."""
    given: dict[str, Any] = {
        "name": name,
        "execution_time": moments.due(at, in_, zone),
        "task_data": data,
        "queue": queue,
        "max_retries": max_retries,
        "timeout": timeout,
        "priority": priority,
        "concurrency_key": key,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    arguments.require_changes(changes)
    with session.connect(server, ca_file, as_json) as client:
        client.update(task_id, **changes, version=version)
    printing.message("Task updated successfully", as_json)


def delete(
    task_id: session.TaskId,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Delete a task that is not running; its log stays."""
    with session.connect(server, ca_file, as_json) as client:
        client.delete(task_id)
    printing.message("Task deleted successfully", as_json)


def cancel(
    task_id: session.TaskId,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Cancel a pending or running task."""
    with session.connect(server, ca_file, as_json) as client:
        task = client.cancel(task_id)
    _show(task, as_json)


def retry(
    task_id: session.TaskId,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Make a failed or cancelled task pending again, due now."""
    with session.connect(server, ca_file, as_json) as client:
        task = client.retry(task_id)
    _show(task, as_json)


def _show(task: duetime_client.Task, as_json: bool) -> None:
    if as_json:
        printing.json(task)
    else:
        printing.line(f"Task {task.task_id} is {task.status}")
