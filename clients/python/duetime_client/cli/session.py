"""What all commands share: the options, the connection, and how a failure ends the process."""

import contextlib
import datetime
import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

import duetime_client
from duetime_client import rpc_error
from duetime_client.cli import moments, quoting

INTERRUPTED = 130

Server = Annotated[
    str, typer.Option("--server", envvar="DUETIME_ADDRESS", metavar="HOST:PORT", help="Where Duetime listens.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, in the shape of the REST API.")]
TaskId = Annotated[int, typer.Argument(metavar="TASK_ID", show_default=False)]

DEFAULT_SERVER = "127.0.0.1:8080"


@contextlib.contextmanager
def connect(server: str, as_json: bool) -> Iterator[duetime_client.Client]:
    """Yields a client; turns what the block raises into a message on stderr and an exit code."""
    try:
        client = duetime_client.Client(server)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--server") from None
    try:
        with client:
            yield client
    except duetime_client.DuetimeError as error:
        typer.echo(json.dumps(_as_json(error), ensure_ascii=False) if as_json else _as_text(error), err=True)
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def exit_code(error: duetime_client.DuetimeError) -> int:
    """Returns the exit code that the command line's help lists for the error."""
    match error:
        case duetime_client.InvalidArgument():
            return 2
        case duetime_client.TaskNotFound() | duetime_client.QueueNotFound() | duetime_client.ScheduleNotFound():
            return 3
        case duetime_client.StateConflict() | duetime_client.VersionMismatch() | duetime_client.RequestIdTaken():
            return 4
        case duetime_client.Unavailable() | duetime_client.DeadlineExceeded():
            return 5
        case _:
            return 1


def _may_exist(error: duetime_client.DuetimeError) -> duetime_client.NewTask | None:
    """Returns the task whose creation was not answered, as it can be asked for again."""
    is_unknown = isinstance(error, duetime_client.Unavailable | duetime_client.DeadlineExceeded)
    return error.remaining[0] if is_unknown and error.remaining else None


def _as_text(error: duetime_client.DuetimeError) -> str:
    lines = [f"error: {error.message}"]
    if isinstance(error, duetime_client.InvalidArgument) and len(error.violations) > 1:
        lines = ["error: several fields are wrong"]
        lines += [f"  {field}: {description}" for field, description in error.violations]
    if new := _may_exist(error):
        lines.append("  The task may exist. To ask again without creating it twice, repeat the command with")
        lines.append(f"  --request-id {new.request_id} {_when(new.execution_time)}")
    return "\n".join(quoting.printable(line) for line in lines)


def _when(when: object) -> str:
    if isinstance(when, duetime_client.LocalTime):
        return f"--at {when.local_time.isoformat()} --zone {when.time_zone}"
    assert isinstance(when, datetime.datetime)  # it is settled
    return f"--at {moments.in_utc(when)}"


def _as_json(error: duetime_client.DuetimeError) -> dict[str, Any]:
    metadata = dict(error.metadata)
    if new := _may_exist(error):
        metadata |= {"request_id": str(new.request_id)}
        if isinstance(new.execution_time, datetime.datetime):
            metadata |= {"execution_time": moments.in_utc(new.execution_time)}
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=rpc_error.DOMAIN, metadata=metadata)]
    if isinstance(error, duetime_client.InvalidArgument) and error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=description, reason=error.reason)
            for field, description in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    for detail in details:
        status.details.add().Pack(detail)
    return json_format.MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
