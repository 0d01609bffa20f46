"""`duetime bulk …`: changes of many tasks at once."""

import datetime
import sys
from typing import Annotated, Any

import typer

from duetime_client.cli import arguments, creating, moments, printing, process, reading, session

app = typer.Typer(help="Change all matching tasks.", no_args_is_help=True, rich_markup_mode=None)

All = Annotated[bool, typer.Option("--all", help="All tasks; required if there is no filter.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


@app.command()
def cancel(
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: reading.DueFrom = None,
    due_before: reading.DueBefore = None,
    schedule: reading.Schedule = None,
    key: reading.Key = None,
    request_id: reading.RequestId = None,
    name_prefix: reading.NamePrefix = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Cancel all matching tasks that are pending or running."""
    selected = _selected(all_, status, queue, name, due_from, due_before, schedule, key, request_id, name_prefix)
    _confirm("Cancel", selected, yes)
    with session.connect(server, ca_file, as_json) as client:
        _print_count("cancelled", client.cancel_many(**selected), as_json)


@app.command()
def retry(
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: reading.DueFrom = None,
    due_before: reading.DueBefore = None,
    schedule: reading.Schedule = None,
    key: reading.Key = None,
    request_id: reading.RequestId = None,
    name_prefix: reading.NamePrefix = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Retry all matching tasks that failed or were cancelled, now.

    Occurrences that a schedule skipped are cancelled tasks too: --status failed leaves them out.
    """
    selected = _selected(all_, status, queue, name, due_from, due_before, schedule, key, request_id, name_prefix)
    _confirm("Retry", selected, yes)
    with session.connect(server, ca_file, as_json) as client:
        _print_count("pending again", client.retry_many(**selected), as_json)


@app.command()
def delete(
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: reading.DueFrom = None,
    due_before: reading.DueBefore = None,
    schedule: reading.Schedule = None,
    key: reading.Key = None,
    request_id: reading.RequestId = None,
    name_prefix: reading.NamePrefix = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Delete all matching tasks that are not running; their logs stay."""
    selected = _selected(all_, status, queue, name, due_from, due_before, schedule, key, request_id, name_prefix)
    _confirm("Delete", selected, yes)
    with session.connect(server, ca_file, as_json) as client:
        _print_count("deleted", client.delete_many(**selected), as_json)


@app.command()
def move(
    at: Annotated[
        datetime.datetime | None,
        typer.Option("--at", parser=moments.parse_time, metavar="TIME", help="The time to move them to."),
    ] = None,
    in_: creating.In = None,
    to_queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="The queue to move them to.", show_default=False)
    ] = None,
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: reading.DueFrom = None,
    due_before: reading.DueBefore = None,
    schedule: reading.Schedule = None,
    key: reading.Key = None,
    request_id: reading.RequestId = None,
    name_prefix: reading.NamePrefix = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Move all matching pending tasks, by --at, --in or --to-queue."""
    to_time = moments.one_of(at, in_)
    if to_time is None and to_queue is None:
        raise arguments.UsageError("--at, --in or --to-queue is required")
    selected = _selected(all_, status, queue, name, due_from, due_before, schedule, key, request_id, name_prefix)
    _confirm("Move", selected, yes)
    with session.connect(server, ca_file, as_json) as client:
        _print_count("moved", client.move_many(to_time=to_time, to_queue=to_queue, **selected), as_json)


_FILTERS = (
    "status",
    "queue",
    "name",
    "due_from",
    "due_before",
    "schedule_id",
    "concurrency_key",
    "request_id",
    "name_prefix",
)


def _selected(all_: bool, *given: Any) -> dict[str, Any]:
    filters = {field: value for field, value in zip(_FILTERS, given, strict=True) if value not in (None, [])}
    if not filters and not all_:
        raise arguments.UsageError("a filter such as --queue, or --all, is required")
    return {**filters, "all": all_}


def _confirm(verb: str, selected: dict[str, Any], yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise arguments.UsageError("--yes is required, because standard input is not a terminal")
    # On standard error and without typer, so that a pipe gets the result alone, and Ctrl-C works.
    printing.ask(f"{verb} {_described(selected)}? [y/N] ")
    answer = sys.stdin.readline()
    if not answer:  # the end of the input, which leaves the cursor where it is
        printing.note("")
    if answer.strip().lower() not in ("y", "yes"):
        raise typer.Exit(process.FAILED)


def _described(selected: dict[str, Any]) -> str:
    filters = {field: value for field, value in selected.items() if field != "all"}
    texts = [f"{field} {', '.join(value) if isinstance(value, list) else value}" for field, value in filters.items()]
    return f"all tasks with {' and '.join(texts)}" if texts else "all tasks"


def _print_count(done: str, count: int, as_json: bool) -> None:
    if as_json:
        printing.json({"count": count})
    else:
        printing.line(f"{printing.counted(count, 'task')} {done}")
