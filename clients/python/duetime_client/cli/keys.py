"""`duetime key …`: API keys."""

import datetime
from collections.abc import Iterable
from typing import Annotated

import rich.table
import typer

import duetime_client
from duetime_client.cli import arguments, durations, key_file, moments, plugins, printing, screen, session

app = typer.Typer(help="Create, list, rotate and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)

KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="Its 12 digits and letters.", show_default=False)]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the key to a new file that only you can read, for curl -H @FILE, instead of printing it.",
        show_default=False,
    ),
]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.", show_default=False)],
    role: Annotated[
        duetime_client.Role,
        typer.Option(
            parser=arguments.choice(duetime_client.Role),
            metavar="|".join(duetime_client.Role),
            help="What it permits.",
            show_default=False,
        ),
    ],
    handler: Annotated[
        list[str] | None,
        typer.Option("--handler", metavar="NAME", help="A handler that it may use; repeatable. By default all."),
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="QUEUE", help="A queue that it may use; repeatable. By default all."),
    ] = None,
    read_payloads: Annotated[
        bool, typer.Option("--read-payloads", help="Permit a viewer, operator or submitter to read payloads.")
    ] = False,
    expires: Annotated[
        datetime.timedelta | None,
        typer.Option(
            "--expires", parser=durations.parse, metavar="DURATION", help="How long it is accepted. By default 90d."
        ),
    ] = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="Accept it until it is revoked.")] = False,
    out: Out = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL|@FILE",
            help="Create it in PostgreSQL itself, without a server: for the first admin key, and if the last is lost.",
            show_default=False,
        ),
    ] = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Create an API key, and print it. Nothing can print it again."""
    if expires is not None and never_expires:
        raise arguments.UsageError("--expires and --never-expires exclude each other")
    with key_file.opened(out) as file:
        if database_url is not None:
            created = plugins.created_key(
                database_url,
                name=name,
                role=role,
                may_read_payloads=read_payloads,
                handlers=handler or [],
                queues=queue or [],
                expires_in=expires,
                never_expires=never_expires,
            )
        else:
            with session.connect(server, ca_file, as_json) as client:
                created = client.create_key(
                    name,
                    role,
                    may_read_payloads=read_payloads,
                    handlers=handler or (),
                    queues=queue or (),
                    expires_in=expires,
                    never_expires=never_expires,
                )
        _give(created.key, created.api_key, file, as_json)


@app.command("list")
def list_(
    ended: Annotated[bool, typer.Option("--ended", help="List also keys that expired or were revoked.")] = False,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """List the API keys, oldest first, without their secrets.

    With --json, one key per line.
    """
    with session.connect(server, ca_file, as_json) as client:
        keys = client.list_keys(show_ended=ended)
    if as_json:
        for key in keys:
            printing.json(key)
    else:
        printing.table(_table(keys))


@app.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        datetime.timedelta | None,
        typer.Option(
            parser=durations.parse, metavar="DURATION", help="How long the old key is still accepted. By default 24h."
        ),
    ] = None,
    out: Out = None,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Replace an API key with a new one, and print that. Nothing can print it again."""
    with key_file.opened(out) as file, session.connect(server, ca_file, as_json) as client:
        rotated = client.rotate_key(key_id, overlap=overlap)
        _give(rotated.key, rotated.api_key, file, as_json)
    expires = moments.in_local_zone(rotated.replaced.expires_at)
    printing.note(f"The old key, {rotated.replaced.key_id}, is accepted until {expires}.")


@app.command()
def revoke(
    key_id: KeyId,
    server: session.Server = session.DEFAULT_SERVER,
    ca_file: session.CaFile = None,
    as_json: session.Json = False,
) -> None:
    """Revoke an API key: no server accepts it any more."""
    with session.connect(server, ca_file, as_json) as client:
        key = client.revoke_key(key_id)
    if as_json:
        printing.json(key)
    else:
        printing.line(f"Key {key.key_id} ({key.name}) is revoked")


def _give(key: duetime_client.ApiKey, api_key: str, file: key_file.KeyFile | None, as_json: bool) -> None:
    if file is not None:
        file.write(api_key)
    if as_json:
        printing.json({"key": key} if file is not None else {"key": key, "api_key": api_key})
        return
    printing.line(api_key if file is None else f"Key {key.key_id} is in {file.path}")
    expires = "never expires" if key.expires_at is None else f"expires {moments.in_local_zone(key.expires_at)}"
    printing.note(f"Key {key.key_id} ({key.name}, {key.role}) {expires}.")


def _table(keys: Iterable[duetime_client.ApiKey]) -> rich.table.Table:
    table = screen.new_table("id", "name", "role", "handlers", "queues", "expires", "last used", "from")
    for key in keys:
        expires = "never" if key.expires_at is None else moments.in_local_zone(key.expires_at)
        screen.add_row(
            table,
            key.key_id,
            key.name,
            f"{key.role}, payloads" if key.may_read_payloads and key.role not in ("editor", "admin") else key.role,
            ", ".join(key.handlers) or "all",
            ", ".join(key.queues) or "all",
            _ended(key) or expires,
            moments.in_local_zone(key.last_used_at),
            key.last_used_from,
        )
    return table


def _ended(key: duetime_client.ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {moments.in_local_zone(key.revoked_at)}"
    return "" if key.in_force else f"expired {moments.in_local_zone(key.expires_at)}"
