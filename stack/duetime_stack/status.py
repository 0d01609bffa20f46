"""Status lines on the terminal while a stack runs."""

import typer

from duetime_stack import layout, log_tail, supervisord_log


class StatusPrinter:
    """Prints when a process exits and when it runs again; a process that keeps failing is printed twice."""

    def __init__(self, paths: layout.Layout) -> None:
        self._paths = paths
        self._exits: dict[str, int] = {}
        """The exits of each process since it last ran."""

    def handle(self, event: supervisord_log.Event) -> None:
        """Prints the event, unless it repeats earlier ones."""
        if event.cause is None:
            if self._exits.pop(event.process, 0):
                typer.echo(f"{event.process} is running again")
            return
        exits = self._exits[event.process] = self._exits.get(event.process, 0) + 1
        if exits == 1:
            typer.echo(f"{event.process} exited ({event.cause}); restarting")
        elif exits == 2:
            log = log_tail.read(self._paths.log(event.process))
            typer.echo(f"{event.process} exited again ({event.cause}); restarting at increasing intervals; {log}")
