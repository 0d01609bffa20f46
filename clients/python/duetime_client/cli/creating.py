"""`duetime create`, and the options for a task's fields."""

import datetime
from typing import Annotated, Any

import typer

from duetime_client.cli import arguments, durations, moments, printing, session, task_data

At = Annotated[
    datetime.datetime | None,
    typer.Option(
        "--at", parser=moments.parse_local_or_time, metavar="TIME", help="When it is due, such as 2026-12-01T09:00Z."
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--zone", metavar="ZONE", help="The time zone of a local --at, such as Europe/Lisbon.", show_default=False
    ),
]
In = Annotated[
    datetime.timedelta | None,
    typer.Option("--in", parser=durations.parse, metavar="DURATION", help="How long from now, such as 2h or 1d12h."),
]
Data = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--data",
        parser=task_data.parse,
        metavar="JSON|@FILE|-",
        help="The handler's input; - reads standard input.",
    ),
]
Queue = Annotated[str | None, typer.Option(metavar="QUEUE", help="The queue that it waits in.", show_default=False)]
MaxRetries = Annotated[
    int | None,
    typer.Option(metavar="N", parser=arguments.whole_number(0), help="How many times to retry it if it fails."),
]
Priority = Annotated[
    int | None,
    typer.Option(
        metavar="0-9", parser=arguments.whole_number(0, 9), help="Among due tasks, higher priorities run first."
    ),
]
ConcurrencyKey = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="The concurrency key, which limits per key count.", show_default=False),
]
Timeout = Annotated[
    datetime.timedelta | None,
    typer.Option(parser=durations.parse, metavar="DURATION", help="How long one run may take."),
]
RequestId = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="An idempotency key: a retry with the same id creates nothing new.", show_default=False
    ),
]


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its handler, such as 'Send Email'.", show_default=False)],
    at: At = None,
    in_: In = None,
    zone: Zone = None,
    data: Data = None,
    queue: Queue = None,
    max_retries: MaxRetries = None,
    timeout: Timeout = None,
    priority: Priority = None,
    key: ConcurrencyKey = None,
    request_id: RequestId = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Create a task, due --at a time or --in a duration."""
    due = moments.due(at, in_, zone)
    if due is None:
        raise arguments.UsageError("--at or --in is required")
    with session.connect(server, ca_file, as_json) as client:
        task_id = client.create(
            name,
            due,
            data,
            queue=queue,
            max_retries=max_retries,
            timeout=timeout,
            request_id=request_id,
            priority=priority,
            concurrency_key=key,
        )
    if as_json:
        printing.json({"task_id": task_id})
    else:
        printing.line(f"Task {task_id} created")
