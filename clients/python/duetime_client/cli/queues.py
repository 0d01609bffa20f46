"""`duetime queue …`: the state of queues, and their limits."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

import rich.table
import typer

import duetime_client
from duetime_client.cli import moments, printing, quoting, screen, session

app = typer.Typer(help="See queues, pause them and limit what runs.", no_args_is_help=True, rich_markup_mode=None)

NONE = "none"

Name = Annotated[str, typer.Argument(metavar="QUEUE", show_default=False)]


def _limit(text: str) -> str:
    """Checks that a limit is a number, or `none`, which takes it away."""
    try:
        is_limit = text == NONE or math.isfinite(float(text))
    except ValueError:
        is_limit = False
    if not is_limit:
        raise typer.BadParameter(f"{quoting.quoted(text)} is not a number, nor {NONE!r}, which takes the limit away")
    return text


def _option(help_text: str) -> Any:
    return typer.Option(parser=_limit, metavar=f"N|{NONE}", help=help_text, show_default=False)


@app.command("list")
def list_(server: session.Server = session.DEFAULT_SERVER, as_json: session.Json = False) -> None:
    """List the queues that have tasks to run, a worker, or a limit.

    With --json, one a line.
    """
    with session.connect(server, as_json) as client:
        queues = client.queues()
    if as_json:
        for queue in queues:
            printing.json(queue)
    else:
        printing.table(_table(queues))


@app.command()
def get(name: Name, server: session.Server = session.DEFAULT_SERVER, as_json: session.Json = False) -> None:
    """Show a queue."""
    with session.connect(server, as_json) as client:
        _show(client.get_queue(name), as_json)


@app.command()
def limit(
    name: Name,
    max_running: Annotated[str | None, _option("The most that run at once.")] = None,
    max_per_second: Annotated[str | None, _option("The most that start in a second.")] = None,
    max_running_per_key: Annotated[str | None, _option("The most of one key that run at once.")] = None,
    max_per_second_per_key: Annotated[str | None, _option("The most of one key that start in a second.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Also if no task or worker names the queue yet.")
    ] = False,
    server: session.Server = session.DEFAULT_SERVER,
    as_json: session.Json = False,
) -> None:
    """Limit what runs of a queue, over all workers."""
    counts = {"max_running": max_running, "max_running_per_key": max_running_per_key}
    rates = {"max_per_second": max_per_second, "max_per_second_per_key": max_per_second_per_key}
    changes: dict[str, Any] = {}
    for field, text in {**counts, **rates}.items():
        if text is None:
            continue
        number = None if text == NONE else float(text)
        if number is not None and field in counts:
            if not number.is_integer():
                raise typer.BadParameter(
                    f"{quoting.quoted(text)} is not a whole number", param_hint=f"--{field.replace('_', '-')}"
                )
            number = int(number)
        changes[field] = number
    if not changes:
        raise typer.BadParameter("give an option that says what to limit")
    with session.connect(server, as_json) as client:
        _show(client.update_queue(name, **changes, allow_missing=allow_missing), as_json)


@app.command()
def pause(name: Name, server: session.Server = session.DEFAULT_SERVER, as_json: session.Json = False) -> None:
    """Let no task of a queue start; those that run are not stopped."""
    with session.connect(server, as_json) as client:
        _show(client.pause_queue(name), as_json)


@app.command()
def resume(name: Name, server: session.Server = session.DEFAULT_SERVER, as_json: session.Json = False) -> None:
    """Let a queue's tasks start again."""
    with session.connect(server, as_json) as client:
        _show(client.resume_queue(name), as_json)


@app.command()
def logs(name: Name, server: session.Server = session.DEFAULT_SERVER, as_json: session.Json = False) -> None:
    """Show what was changed about a queue, when and by whom.

    With --json, one a line.
    """
    with session.connect(server, as_json) as client:
        lines = client.queue_logs(name)
        if as_json:
            for line in lines:
                printing.json(line)
        else:
            printing.table(_log_table(lines))


def _show(queue: duetime_client.Queue, as_json: bool) -> None:
    if as_json:
        printing.json(queue)
    else:
        printing.table(_table([queue]))


def _table(queues: Iterable[duetime_client.Queue]) -> rich.table.Table:
    table = screen.new_table("queue", "due", "since", "running", "starts/s", "workers", "limits")
    for queue in queues:
        since = moments.in_local_zone(queue.oldest_due)
        screen.add_row(
            table, queue.name, queue.depth, since, queue.running, f"{queue.rate:g}", queue.workers, _held(queue)
        )
    return table


def _log_table(logs: Iterable[duetime_client.QueueLog]) -> rich.table.Table:
    table = screen.new_table("time", "change", "by", "from", "to")
    for line in logs:
        before, after = (
            ", ".join(f"{each.field}={_as_given(getattr(each, side))}" for each in line.changes)
            for side in ("before", "after")
        )
        screen.add_row(table, moments.in_local_zone(line.timestamp), line.change, line.actor, before, after)
    return table


def _as_given(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NONE if value is None else f"{value:.15g}"


def _held(queue: duetime_client.Queue) -> str:
    limits = {
        " at once": queue.max_running,
        "/s": queue.max_per_second,
        " at once per key": queue.max_running_per_key,
        "/s per key": queue.max_per_second_per_key,
    }
    texts = ["paused"] if queue.paused else []
    texts += [f"{value:.12g}{text}" for text, value in limits.items() if value is not None]
    return ", ".join(texts)
