"""The commands that read: `get`, `explain`, `list`, `logs` and `workers`."""

import datetime
import enum
from typing import Annotated

import typer

import duetime_client
from duetime_client.cli import arguments, moments, printing, screen, session

Statuses = Annotated[
    list[duetime_client.Status] | None,
    typer.Option(
        "--status",
        parser=arguments.choice(duetime_client.Status),
        metavar="STATUS",
        help=f"Only tasks in this status: {', '.join(duetime_client.Status)}; may be repeated.",
        show_default=False,
    ),
]
Queue = Annotated[str | None, typer.Option(metavar="QUEUE", help="Only tasks of this queue.", show_default=False)]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Only tasks of this name.", show_default=False)]
Schedule = Annotated[
    int | None,
    typer.Option(
        "--schedule",
        metavar="SCHEDULE_ID",
        parser=arguments.whole_number(1),
        help="Only tasks of this schedule.",
        show_default=False,
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Only tasks with this concurrency key.", show_default=False),
]
RequestId = Annotated[
    str | None, typer.Option(metavar="ID", help="Only the task created with this request id.", show_default=False)
]
NamePrefix = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only tasks whose name begins with this.", show_default=False)
]
DueFrom = Annotated[
    datetime.datetime | None,
    typer.Option(parser=moments.parse_time, metavar="TIME", help="Only tasks due at this time or later."),
]
DueBefore = Annotated[
    datetime.datetime | None,
    typer.Option(parser=moments.parse_time, metavar="TIME", help="Only tasks due before this time."),
]


class Order(enum.StrEnum):
    """The orders that the server supports."""

    EXECUTION_TIME = "execution_time"
    EXECUTION_TIME_DESC = "execution_time desc"
    TASK_ID = "task_id"
    TASK_ID_DESC = "task_id desc"


def get(
    task_id: session.TaskId,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Show a task."""
    with session.connect(server, ca_file, as_json) as client:
        task = client.get(task_id)
    if as_json:
        printing.json(task)
    else:
        printing.table(screen.task_details(task))


def list_(
    status: Statuses = None,
    queue: Queue = None,
    name: Name = None,
    due_from: DueFrom = None,
    due_before: DueBefore = None,
    schedule: Schedule = None,
    key: Key = None,
    request_id: RequestId = None,
    name_prefix: NamePrefix = None,
    order_by: Annotated[
        Order, typer.Option(parser=arguments.choice(Order), metavar="ORDER", help=f"One of: {', '.join(Order)}.")
    ] = Order.EXECUTION_TIME,
    limit: Annotated[int, arguments.count("How many tasks to list at most.")] = 50,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """List tasks.

    With --json, one task per line.
    """
    with session.connect(server, ca_file, as_json, shows_payloads=as_json) as client:
        found = client.list(
            status=status or (),
            queue=queue,
            name=name,
            due_from=due_from,
            due_before=due_before,
            schedule_id=schedule,
            concurrency_key=key,
            request_id=request_id,
            name_prefix=name_prefix,
            order_by=order_by.value,
        )
        printing.listing(found, limit, screen.task_table, as_json=as_json)


def logs(
    task_id: session.TaskId,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Show a task's history, oldest first.

    Works for a deleted task too. With --json, one change per line.
    """
    with session.connect(server, ca_file, as_json) as client:
        rows = client.logs(task_id)
        if as_json:
            for row in rows:
                printing.json(row)
        else:
            printing.table(screen.log_table(rows))


def explain(
    task_id: session.TaskId,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Explain why a task does not run."""
    with session.connect(server, ca_file, as_json) as client:
        explanation = client.explain(task_id)
    if as_json:
        printing.json(explanation)
    else:
        for reason in explanation.reasons:
            printing.line(reason.message)


def workers(
    server: session.Server = session.DEFAULT_SERVER, ca_file: session.CaFile = None, as_json: session.Json = False
) -> None:
    """List workers: their queues, handlers and whether they are alive.

    A worker is listed until an hour after its last heartbeat, or until it shuts down cleanly. With --json, one worker
    per line.
    """
    with session.connect(server, ca_file, as_json) as client:
        found = client.list_workers()
    if as_json:
        for worker in found:
            printing.json(worker)
    else:
        printing.table(screen.worker_table(found))
