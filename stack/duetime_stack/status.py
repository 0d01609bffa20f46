"""Tells the terminal what happens to the parts of a running stack."""

import typer

from duetime_stack import layout, log_tail, supervisord_log


class StatusPrinter:
    """Says that a part died and came back, without repeating itself while it does not come back."""

    def __init__(self, paths: layout.Layout) -> None:
        self._paths = paths
        self._deaths: dict[str, int] = {}
        """How often each part died since it last ran."""

    def handle(self, event: supervisord_log.Event) -> None:
        """Says what there is to say about this event."""
        if event.cause is None:
            if self._deaths.pop(event.part, 0):
                typer.echo(f"{event.part} is running again")
            return
        deaths = self._deaths[event.part] = self._deaths.get(event.part, 0) + 1
        if deaths == 1:
            typer.echo(f"{event.part} died ({event.cause}); restarting")
        elif deaths == 2:
            log = log_tail.read(self._paths.log(event.part))
            typer.echo(f"{event.part} died again ({event.cause}) and is tried on, less and less often; {log}")
