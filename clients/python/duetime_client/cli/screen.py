"""Formats tasks, their changes and workers for a terminal."""

from collections.abc import Iterable

import rich.table
import rich.text

import duetime_client
from duetime_client.cli import durations, json_shape, moments, quoting

_WRAPPED = {
    *("name", "queue", "queues", "by", "error", "limits", "reason", "when", "handlers", "role", "expires"),
}
"""Columns of any width: they share what the others leave of a line."""


def new_table(*columns: str) -> rich.table.Table:
    """Returns an empty table with these columns."""
    table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column,
            no_wrap=column not in _WRAPPED,
            overflow="fold",
        )
    return table


def add_row(table: rich.table.Table, *cells: object, fold: bool = True) -> None:
    """Adds a row; long texts wrap, or else are cut to one line."""
    lines = [quoting.one_line(str(cell)) for cell in cells]
    if fold:
        table.add_row(*(rich.text.Text(line) for line in lines))
    else:
        table.add_row(*(rich.text.Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def task_table(tasks: Iterable[duetime_client.Task]) -> rich.table.Table:
    """Returns one row per task."""
    table = new_table("id", "name", "status", "due", "retries", "queue")
    for task in tasks:
        retries = f"{task.retry_count}/{task.max_retries}"
        due = moments.in_local_zone(task.execution_time)
        add_row(table, task.task_id, task.name, task.status, due, retries, task.queue)
    return table


def task_details(task: duetime_client.Task) -> rich.table.Table:
    """Returns one line per field that is set."""
    policy = task.retry_policy
    return details(
        {
            "task": task.task_id,
            "name": task.name,
            "status": task.status,
            "due": moments.in_local_zone(task.execution_time, "milliseconds"),
            "queue": task.queue,
            "priority": task.priority or "",
            "key": task.concurrency_key,
            "schedule": task.schedule_id or "",
            "nominal time": moments.in_local_zone(task.nominal_time),
            "local time": f"{task.local_time} {task.time_zone}".strip(),
            "data": json_shape.text(task.task_data),
            "result": "" if task.result is None else json_shape.text(task.result),
            "error": task.error_message,
            "retries": f"{task.retry_count} of {task.max_retries}",
            "backoff": f"{durations.shown(policy.initial_backoff)} × {policy.multiplier:g}, "
            f"at most {durations.shown(policy.max_backoff)}"
            if policy.multiplier is not None
            else "",
            "timeout": durations.shown(task.timeout),
            "version": task.version,
            "created": moments.in_local_zone(task.created_at, "milliseconds"),
            "updated": moments.in_local_zone(task.updated_at, "milliseconds"),
            "started": moments.in_local_zone(task.executed_at, "milliseconds"),
            "worker": task.worker_id,
            "request id": task.request_id,
        }
    )


def details(lines: dict[str, object]) -> rich.table.Table:
    """Returns one line per entry that is not empty."""
    table = rich.table.Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        if value != "":
            table.add_row(name, rich.text.Text(quoting.printable(str(value))))
    return table


def worker_table(workers: Iterable[duetime_client.Worker]) -> rich.table.Table:
    """Returns one row per worker."""
    table = new_table("worker", "alive", "running", "last heartbeat", "queues", "handlers")
    for worker in workers:
        running = f"{worker.running}/{worker.concurrency}"
        seen = moments.in_local_zone(worker.last_heartbeat_at)
        is_alive = "yes" if worker.alive else "no"
        add_row(table, worker.worker_id, is_alive, running, seen, ", ".join(worker.queues), ", ".join(worker.handlers))
    return table


def log_table(logs: Iterable[duetime_client.TaskLog], *, fold: bool = True) -> rich.table.Table:
    """Returns one row per change of one task; long texts wrap, or else are cut to one line."""
    table = new_table("time", "change", "took", "by", "error")
    for log in logs:
        time = moments.in_local_zone(log.timestamp, "milliseconds")
        add_row(table, time, log.change, durations.shown(log.duration), log.actor, log.error_message, fold=fold)
    return table


def change_table(logs: Iterable[duetime_client.TaskLog]) -> rich.table.Table:
    """Returns one line per task: its latest change."""
    table = new_table("id", "status", "change", "time", "error")
    for log in logs:
        time = moments.in_local_zone(log.timestamp, "milliseconds")
        add_row(table, log.task_id, log.status, log.change, time, log.error_message, fold=False)
    return table


def change_line(log: duetime_client.TaskLog) -> str:
    """Returns a change as one line."""
    time = moments.in_local_zone(log.timestamp, "milliseconds")
    line = f"{time}  {log.task_id}  {log.status:<9}  {log.change}"
    return quoting.one_line(f"{line}: {log.error_message}" if log.error_message else line)
