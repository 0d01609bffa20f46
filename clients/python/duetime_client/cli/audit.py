"""`duetime audit`: audit events."""

from collections.abc import Iterable
from typing import Annotated

import rich.table
import typer

import duetime_client
from duetime_client.cli import arguments, moments, printing, screen, session


def audit(
    kind: Annotated[
        duetime_client.AuditKind | None,
        typer.Option(
            parser=arguments.choice(duetime_client.AuditKind),
            metavar="KIND",
            help=f"Only events of this kind: {', '.join(duetime_client.AuditKind)}.",
            show_default=False,
        ),
    ] = None,
    actor: Annotated[
        str | None, typer.Option(metavar="ACTOR", help="Only events of this actor.", show_default=False)
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY_ID", help="Only events of the key with this id.", show_default=False),
    ] = None,
    limit: Annotated[int, arguments.count("How many events to list at most.")] = 50,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """List changes of API keys and refused calls, newest first.

    With --json, one event per line.
    """
    with session.connect(server, ca_file, as_json) as client:
        printing.listing(client.audit_events(kind=kind, actor=actor, key_id=key), limit, _table, as_json=as_json)


def _table(events: Iterable[duetime_client.AuditEvent]) -> rich.table.Table:
    table = screen.new_table("time", "kind", "calls", "actor", "address", "key", "method", "reason")
    for event in events:
        screen.add_row(
            table,
            moments.in_local_zone(event.timestamp),
            event.kind,
            str(event.calls),
            event.actor,
            event.address,
            event.key_id,
            event.method,
            event.reason,
        )
    return table
