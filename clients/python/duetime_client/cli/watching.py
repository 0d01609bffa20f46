"""`duetime watch`: changes as they are committed, in a live table on a terminal, elsewhere one per line."""

import contextlib
import signal
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

import rich.console
import rich.live
import typer

import duetime_client
from duetime_client.cli import arguments, printing, reading, screen, session, streams

UNSUCCESSFUL = 6
# The header, and the line of the shell's next prompt.
_LINES_AROUND_TABLE = 2


def watch(
    task_id: Annotated[int | None, arguments.identity("TASK_ID", "The task; without it, all matching tasks.")] = None,
    status: reading.Statuses = None,
    queue: reading.Queue = None,
    name: reading.Name = None,
    cursor: Annotated[
        str | None,
        typer.Option(metavar="CURSOR", help="Resume right after the event with this cursor.", show_default=False),
    ] = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Watch the changes of one task, or of all matching tasks.

    A watch of one task ends when the task does, a watch of many with Ctrl-C. With --json, one change per line.

    Exits with 0 if the task completed, with 6 if it failed, was cancelled or was deleted.
    """
    if task_id is not None and (status or queue is not None or name is not None):
        raise arguments.UsageError("TASK_ID and filters cannot be combined")
    with session.connect(server, ca_file, as_json) as client:
        if task_id is None:
            watch_all = client.watch_all(status=status or (), queue=queue, name=name, cursor=cursor)
            with _until_interrupted(watch_all), watch_all as events:
                _show(events, as_json, one_task=False)
            return
        watch_one = client.watch(task_id, cursor)
        with _until_interrupted(watch_one), watch_one as events:
            last = _show(events, as_json, one_task=True)
        if not _completed(client, task_id, last):
            raise typer.Exit(UNSUCCESSFUL)


@contextlib.contextmanager
def _until_interrupted(watch: duetime_client.Watch) -> Iterator[None]:
    """Ends the watch on Ctrl-C, on SIGTERM, or once the reader of its output closes it, even if no change follows; then
    exits with the exit code of the signal.

    An exception raised by the signal handler may be lost: gRPC's callbacks, like all finalizers, ignore exceptions. And
    a process that ends at once leaves the terminal's cursor hidden.
    """
    received = 0

    def stop(number: int, frame: types.FrameType | None) -> None:
        nonlocal received
        received = number
        signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
        # In a thread, because this one may hold the stream's lock.
        threading.Thread(target=watch.close, daemon=True).start()

    def leave() -> None:
        nonlocal received
        received = received or signal.SIGPIPE
        watch.close()

    streams.call_when_unread(leave)
    # Signals that are ignored, such as Ctrl-C by a background job, stay ignored.
    numbers = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        raise typer.Exit(128 + received)


def _completed(client: duetime_client.Client, task_id: int, last: duetime_client.TaskLog | None) -> bool:
    if last is not None:
        return last.status is duetime_client.Status.COMPLETED and last.change != "deleted"
    try:  # the cursor was that of the task's last change
        return client.status(task_id) is duetime_client.Status.COMPLETED
    except duetime_client.TaskNotFound:
        return False


def _show(
    events: Iterable[duetime_client.TaskEvent], as_json: bool, *, one_task: bool
) -> duetime_client.TaskLog | None:
    last: duetime_client.TaskLog | None = None
    with _display(as_json, one_task) as display:
        for event in events:
            display(event)
            last = event.change
    return last


@contextlib.contextmanager
def _display(as_json: bool, one_task: bool) -> Iterator[Callable[[duetime_client.TaskEvent], None]]:
    """Yields the function that shows an event."""
    if as_json:
        yield printing.json
    elif not printing.is_terminal():
        yield lambda event: printing.line(screen.change_line(event.change))
    else:
        console = rich.console.Console(highlight=False)
        with rich.live.Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            yield LiveTable(live, console.height - _LINES_AROUND_TABLE, one_task).show


class LiveTable:
    """A table that is redrawn in place: of one task its latest changes, of many the latest change of each."""

    def __init__(self, live: rich.live.Live, height: int, one_task: bool) -> None:
        self._live = live
        self._height = max(height, 1)
        self._one_task = one_task
        self._changes: dict[int, duetime_client.TaskLog] = {}

    def show(self, event: duetime_client.TaskEvent) -> None:
        """Adds the change at the bottom; drops the oldest one at the top if the terminal is full."""
        key = event.change.version if self._one_task else event.change.task_id
        self._changes.pop(key, None)
        self._changes[key] = event.change
        while len(self._changes) > self._height:
            del self._changes[next(iter(self._changes))]
        logs = self._changes.values()
        table = screen.log_table(logs, fold=False) if self._one_task else screen.change_table(logs)
        self._live.update(table, refresh=True)
