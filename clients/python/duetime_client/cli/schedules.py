"""`duetime schedule …`: recurring tasks."""

import datetime
from typing import Annotated

import typer

import duetime_client
from duetime_client.cli import arguments, creating, moments, printing, rules, schedule_screen, session

app = typer.Typer(help="Create and manage recurring tasks.", no_args_is_help=True, rich_markup_mode=None)

Id = Annotated[int, arguments.identity("SCHEDULE_ID")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for people.", show_default=False)],
    handler: Annotated[
        str, typer.Argument(metavar="HANDLER", help="Its handler, such as 'Generate Report'.", show_default=False)
    ],
    cron: rules.Cron = None,
    every: rules.Every = None,
    anchor: rules.Anchor = None,
    zone: rules.Zone = None,
    start: rules.Start = None,
    end: rules.End = None,
    missing_time: rules.Missing = None,
    repeated_time: rules.Repeated = None,
    jitter: rules.Jitter = None,
    blackout: rules.Blackouts = None,
    overlap: rules.Overlap = None,
    catch_up: rules.CatchUp = None,
    catch_up_window: rules.Window = None,
    data: creating.Data = None,
    queue: creating.Queue = None,
    max_retries: creating.MaxRetries = None,
    timeout: creating.Timeout = None,
    priority: creating.Priority = None,
    key: creating.ConcurrencyKey = None,
    paused: Annotated[bool, typer.Option("--paused", help="Create it paused.")] = False,
    request_id: creating.RequestId = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Create a schedule, by --cron or --every."""
    task = duetime_client.TaskTemplate(
        handler, data, queue, max_retries, timeout=timeout, priority=priority, concurrency_key=key
    )
    rule = rules.rule(cron, every, anchor, zone, start, end, missing_time, repeated_time, jitter, blackout)
    policies = rules.given(overlap=overlap, catch_up=catch_up, catch_up_window=catch_up_window)
    with session.connect(server, ca_file, as_json) as client:
        made = client.create_schedule(name, task, paused=paused, request_id=request_id, **rule, **policies)
    schedule_screen.show(made, as_json)


@app.command()
def get(
    schedule_id: Id,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Show a schedule."""
    with session.connect(server, ca_file, as_json) as client:
        schedule_screen.show(client.get_schedule(schedule_id), as_json)


@app.command("list")
def list_(
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only schedules of this name.", show_default=False)
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option(metavar="QUEUE", help="Only schedules whose tasks go to this queue.", show_default=False),
    ] = None,
    paused: Annotated[
        bool | None,
        typer.Option("--paused/--not-paused", help="Only paused schedules, or only others.", show_default=False),
    ] = None,
    limit: Annotated[int, arguments.count("How many schedules to list at most.")] = 50,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """List schedules.

    With --json, one schedule per line.
    """
    with session.connect(server, ca_file, as_json, shows_payloads=as_json) as client:
        found = client.list_schedules(name=name, queue=queue, paused=paused)
        printing.listing(found, limit, schedule_screen.table, as_json=as_json)


@app.command()
def update(
    schedule_id: Id,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="A name for people.", show_default=False)] = None,
    cron: rules.Cron = None,
    every: rules.Every = None,
    anchor: rules.Anchor = None,
    zone: rules.Zone = None,
    start: rules.Start = None,
    end: rules.End = None,
    missing_time: rules.Missing = None,
    repeated_time: rules.Repeated = None,
    jitter: rules.Jitter = None,
    blackout: rules.Blackouts = None,
    overlap: rules.Overlap = None,
    catch_up: rules.CatchUp = None,
    catch_up_window: rules.Window = None,
    version: Annotated[int | None, arguments.version()] = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Change a schedule."""
    changes = rules.rule(cron, every, anchor, zone, start, end, missing_time, repeated_time, jitter, blackout)
    changes |= rules.given(name=name, overlap=overlap, catch_up=catch_up, catch_up_window=catch_up_window)
    arguments.require_changes(changes)
    with session.connect(server, ca_file, as_json) as client:
        schedule_screen.show(client.update_schedule(schedule_id, version=version, **changes), as_json)


@app.command()
def delete(
    schedule_id: Id,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Delete a schedule and its pending task; running ones continue."""
    with session.connect(server, ca_file, as_json) as client:
        client.delete_schedule(schedule_id)
    printing.message("Schedule deleted successfully", as_json)


@app.command()
def pause(
    schedule_id: Id,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Pause a schedule: it creates no tasks until it is resumed."""
    with session.connect(server, ca_file, as_json) as client:
        schedule_screen.show(client.pause_schedule(schedule_id), as_json)


@app.command()
def resume(
    schedule_id: Id,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Resume a paused schedule, from now on."""
    with session.connect(server, ca_file, as_json) as client:
        schedule_screen.show(client.resume_schedule(schedule_id), as_json)


@app.command()
def trigger(
    schedule_id: Id,
    request_id: creating.RequestId = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Create a schedule's task now, in addition to its occurrences."""
    with session.connect(server, ca_file, as_json) as client:
        task_id = client.trigger_schedule(schedule_id, request_id=request_id)
    printing.json({"task_id": task_id}) if as_json else printing.line(f"Task {task_id} created")


@app.command()
def backfill(
    schedule_id: Id,
    start: Annotated[
        datetime.datetime, typer.Option("--from", parser=moments.parse_time, metavar="TIME", help="The first time.")
    ],
    end: Annotated[
        datetime.datetime, typer.Option("--until", parser=moments.parse_time, metavar="TIME", help="The last time.")
    ],
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Create a task for each past time of a schedule that has none."""
    with session.connect(server, ca_file, as_json) as client:
        task_ids = client.backfill_schedule(schedule_id, start, end)
    if as_json:
        printing.json({"task_ids": task_ids})
    else:
        printing.line(f"{printing.counted(len(task_ids), 'task')} created")


@app.command()
def preview(
    cron: rules.Cron = None,
    every: rules.Every = None,
    anchor: rules.Anchor = None,
    zone: rules.Zone = None,
    start: rules.Start = None,
    end: rules.End = None,
    missing_time: rules.Missing = None,
    repeated_time: rules.Repeated = None,
    blackout: rules.Blackouts = None,
    count: Annotated[int, arguments.count("How many times to show.")] = 10,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Show the next times of a rule, without saving it."""
    rule = rules.rule(cron, every, anchor, zone, start, end, missing_time, repeated_time, None, blackout)
    with session.connect(server, ca_file, as_json) as client:
        times = client.preview_schedule(count=count, **rule)
    if as_json:
        for each in times:
            printing.json(each)
    else:
        printing.table(schedule_screen.previewed(times))


@app.command()
def logs(
    schedule_id: Id,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Show a schedule's history: changes and skipped occurrences.

    Oldest first. Works for a deleted schedule too. With --json, one change per line.
    """
    with session.connect(server, ca_file, as_json) as client:
        lines = client.schedule_logs(schedule_id)
        if as_json:
            for line in lines:
                printing.json(line)
        else:
            printing.table(schedule_screen.log_table(lines))


@app.command()
def recompute(
    server: session.Server = session.DEFAULT_SERVER, ca_file: session.CaFile = None, as_json: session.Json = False
) -> None:
    """Move times that an update of the time zone database changes."""
    with session.connect(server, ca_file, as_json) as client:
        moved = client.recompute_schedules()
    if as_json:
        printing.json(moved)
    else:
        schedules, tasks = printing.counted(moved.schedules, "schedule"), printing.counted(moved.tasks, "task")
        printing.line(f"{schedules} and {tasks} moved by time zone database {moved.time_zone_version}")
