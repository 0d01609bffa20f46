"""`duetime bulk …`: what is done to many tasks at once."""

import datetime
import sys
from typing import Annotated, Any

import typer

from duetime_client.cli import creating, moments, printing, process, reading, session

app = typer.Typer(help="Change all tasks that match.", no_args_is_help=True, rich_markup_mode=None)

DueFrom = Annotated[
    datetime.datetime | None,
    typer.Option(parser=moments.parse_time, metavar="TIME", help="Only those due then or later."),
]
DueBefore = Annotated[
    datetime.datetime | None, typer.Option(parser=moments.parse_time, metavar="TIME", help="Only those due earlier.")
]
All = Annotated[bool, typer.Option("--all", help="All tasks, if no other option says which.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command()
def cancel(
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: DueFrom = None,
    due_before: DueBefore = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    as_json: session.Json = False,
) -> None:
    """Cancel the pending and running tasks that match."""
    which = _which(status, queue, name, due_from, due_before, all_)
    _confirm("Cancel", which, yes)
    with session.connect(server, as_json) as client:
        _tell("cancelled", client.cancel_many(**which), as_json)


@app.command()
def retry(
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: DueFrom = None,
    due_before: DueBefore = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    as_json: session.Json = False,
) -> None:
    """Make the failed and cancelled tasks that match pending again, due now."""
    which = _which(status, queue, name, due_from, due_before, all_)
    _confirm("Retry", which, yes)
    with session.connect(server, as_json) as client:
        _tell("pending again", client.retry_many(**which), as_json)


@app.command()
def delete(
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: DueFrom = None,
    due_before: DueBefore = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    as_json: session.Json = False,
) -> None:
    """Delete the tasks that match and do not run; their logs stay."""
    which = _which(status, queue, name, due_from, due_before, all_)
    _confirm("Delete", which, yes)
    with session.connect(server, as_json) as client:
        _tell("deleted", client.delete_many(**which), as_json)


@app.command()
def move(
    at: Annotated[
        datetime.datetime | None,
        typer.Option("--at", parser=moments.parse_time, metavar="TIME", help="When they are due."),
    ] = None,
    in_: creating.In = None,
    to_queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="The queue that they go to.", show_default=False)
    ] = None,
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    due_from: DueFrom = None,
    due_before: DueBefore = None,
    all_: All = False,
    yes: Yes = False,
    server: session.Server = session.DEFAULT_SERVER,
    as_json: session.Json = False,
) -> None:
    """Move the pending tasks that match: --at a time, --in a while or --to-queue."""
    if at is not None and in_ is not None:
        raise typer.BadParameter("give only one of them", param_hint="--at / --in")
    if at is None and in_ is None and to_queue is None:
        raise typer.BadParameter("say where they are moved, with one of them", param_hint="--at / --in / --to-queue")
    which = _which(status, queue, name, due_from, due_before, all_)
    _confirm("Move", which, yes)
    with session.connect(server, as_json) as client:
        moved = client.move_many(to_time=at if at is not None else in_, to_queue=to_queue, **which)
        _tell("moved", moved, as_json)


def _which(status: Any, queue: Any, name: Any, due_from: Any, due_before: Any, all_: bool) -> dict[str, Any]:
    given = {"status": status, "queue": queue, "name": name, "due_from": due_from, "due_before": due_before}
    which = {field: value for field, value in given.items() if value}
    if not which and not all_:
        raise typer.BadParameter("say which tasks, such as with --queue, or --all")
    return {**which, "all": all_}


def _confirm(verb: str, which: dict[str, Any], yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "give it, because standard input is no terminal where it could be asked", param_hint="--yes"
        )
    # On standard error and without typer: what is piped on is the answer alone, and Ctrl-C is Ctrl-C.
    printing.ask(f"{verb} {_described(which)}? [y/N] ")
    answer = sys.stdin.readline()
    if not answer:  # the end of the input, which leaves the cursor where it is
        printing.note("")
    if answer.strip().lower() not in ("y", "yes"):
        raise typer.Exit(process.FAILED)


def _described(which: dict[str, Any]) -> str:
    fields = {field: value for field, value in which.items() if field != "all"}
    texts = [f"{field} {', '.join(value) if isinstance(value, list) else value}" for field, value in fields.items()]
    return f"the tasks with {' and '.join(texts)}" if texts else "all tasks"


def _tell(done: str, count: int, as_json: bool) -> None:
    if as_json:
        printing.json({"count": count})
    else:
        printing.line(f"{count} task{'s' * (count != 1)} {done}")
