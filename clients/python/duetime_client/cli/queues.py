"""`duetime queue …`: the state of queues, and their limits."""

import math
from collections.abc import Iterable
from typing import Annotated, Any

import rich.table
import typer

import duetime_client
from duetime_client.cli import arguments, moments, printing, quoting, screen, session

app = typer.Typer(help="Show, pause and limit queues.", no_args_is_help=True, rich_markup_mode=None)

NONE = "none"

Name = Annotated[str, typer.Argument(metavar="QUEUE", show_default=False)]


def _limit(text: str) -> str:
    """Checks that a limit is a number, or `none`, which removes it."""
    try:
        is_limit = text == NONE or math.isfinite(float(text))
    except ValueError:
        is_limit = False
    if not is_limit:
        raise typer.BadParameter(f"must be a number, or {NONE!r} to remove the limit, not {quoting.quoted(text)}")
    return text


def _option(help_text: str) -> Any:
    return typer.Option(parser=_limit, metavar=f"N|{NONE}", help=help_text, show_default=False)


@app.command("list")
def list_(
    server: session.Server = session.DEFAULT_SERVER, ca_file: session.CaFile = None, as_json: session.Json = False
) -> None:
    """List the queues with unfinished tasks, live workers or limits.

    With --json, one queue per line.
    """
    with session.connect(server, ca_file, as_json) as client:
        queues = client.list_queues()
    if as_json:
        for queue in queues:
            printing.json(queue)
    else:
        printing.table(_table(queues))


@app.command()
def get(
    name: Name,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Show a queue."""
    with session.connect(server, ca_file, as_json) as client:
        _show(client.get_queue(name), as_json)


@app.command()
def limit(
    name: Name,
    max_running: Annotated[str | None, _option("How many tasks may run at once.")] = None,
    max_per_second: Annotated[str | None, _option("How many tasks may start per second.")] = None,
    max_running_per_key: Annotated[str | None, _option("How many tasks of one key may run at once.")] = None,
    max_per_second_per_key: Annotated[str | None, _option("How many tasks of one key may start per second.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Allow a queue that no task or worker uses yet.")
    ] = False,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Limit a queue, across all workers; `none` removes a limit."""
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
                    f"must be a whole number, not {quoting.quoted(text)}", param_hint=f"--{field.replace('_', '-')}"
                )
            number = int(number)
        changes[field] = number
    arguments.require_changes(changes)
    with session.connect(server, ca_file, as_json) as client:
        _show(client.update_queue(name, **changes, allow_missing=allow_missing), as_json)


@app.command()
def pause(
    name: Name,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Pause a queue: none of its tasks start; running tasks continue."""
    with session.connect(server, ca_file, as_json) as client:
        _show(client.pause_queue(name), as_json)


@app.command()
def resume(
    name: Name,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Resume a queue: its tasks start again."""
    with session.connect(server, ca_file, as_json) as client:
        _show(client.resume_queue(name), as_json)


@app.command()
def logs(
    name: Name,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Show a queue's history of changes, oldest first.

    With --json, one change per line.
    """
    with session.connect(server, ca_file, as_json) as client:
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
    table = screen.new_table("queue", "due", "oldest due", "running", "starts/s", "workers", "limits")
    for queue in queues:
        oldest = moments.in_local_zone(queue.oldest_due)
        depth = f"{queue.depth}+" if queue.depth_capped else queue.depth
        screen.add_row(
            table, queue.name, depth, oldest, queue.running, f"{queue.rate:g}", queue.workers, _limits(queue)
        )
    return table


def _log_table(logs: Iterable[duetime_client.QueueLog]) -> rich.table.Table:
    table = screen.new_table("time", "change", "by", "from", "to")
    for line in logs:
        before, after = (
            ", ".join(f"{each.field}={_value(getattr(each, side))}" for each in line.changes)
            for side in ("before", "after")
        )
        screen.add_row(table, moments.in_local_zone(line.timestamp), line.change, line.actor, before, after)
    return table


def _value(value: float | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NONE if value is None else f"{value:.15g}"


def _limits(queue: duetime_client.Queue) -> str:
    limits = {
        " at once": queue.max_running,
        "/s": queue.max_per_second,
        " at once per key": queue.max_running_per_key,
        "/s per key": queue.max_per_second_per_key,
    }
    texts = ["paused"] if queue.paused else []
    texts += [f"{value:.12g}{text}" for text, value in limits.items() if value is not None]
    return ", ".join(texts)
