"""Shared by all commands: the common options, the connection, and the exit code of a failure."""

import contextlib
import datetime
import os
import shlex
from collections.abc import Iterator
from typing import Annotated, Any

import grpc
import typer
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

import duetime_client
from duetime_client import address, rpc_error
from duetime_client.cli import arguments, moments, printing, process

Server = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="DUETIME_ADDRESS",
        metavar="HOST:PORT",
        help="The server's address, or its URL. https://HOST is encrypted.",
    ),
]
CaFile = Annotated[
    str | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="A PEM file with the authorities to trust for https://, instead of the system's. Also DUETIME_CA_FILE.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, as the REST API returns it.")]
TaskId = Annotated[int, arguments.identity("TASK_ID")]

PAYLOAD_KEYS_VARIABLE = "DUETIME_PAYLOAD_KEYS_FILE"
_NO_KEY = "CREDENTIALS_MISSING"
DEFAULT_SERVER = "127.0.0.1:8080"


@contextlib.contextmanager
def connect(
    server: str, ca_file: str | None, as_json: bool, *, shows_payloads: bool = True
) -> Iterator[duetime_client.Client]:
    """Yields a client; turns an error that the block raises into a message on stderr and an exit code.

    If payloads are not shown, none is decrypted: one whose key is missing must not hide the others.
    """
    try:
        address.parse(server)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--server") from None
    try:
        client = duetime_client.Client(server, ca=ca_file, codec=_codec() if shows_payloads else None)
    except ValueError as error:  # of the CA file, the API key, or the keys of payloads
        raise arguments.UsageError(str(error)) from None
    try:
        with client:
            yield client
    except duetime_client.DuetimeError as error:
        printing.failure(_as_json(error)) if as_json else _print(error)
        raise typer.Exit(exit_code(error)) from None


def _codec() -> duetime_client.PayloadCodec | None:
    path = os.environ.get(PAYLOAD_KEYS_VARIABLE, "")
    try:
        return duetime_client.PayloadCodec.read(path) if path else None
    except ValueError as error:
        raise ValueError(f"{PAYLOAD_KEYS_VARIABLE}: {error}") from None


def exit_code(error: duetime_client.DuetimeError) -> int:
    """Returns the exit code that the command line's help lists for the error; by its gRPC status, because a newer
    server may have reasons that this client does not know.
    """
    match error.code:
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            return 2
        case grpc.StatusCode.NOT_FOUND:
            return 3
        case grpc.StatusCode.FAILED_PRECONDITION | grpc.StatusCode.ABORTED | grpc.StatusCode.ALREADY_EXISTS:
            return 4
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED:
            return 5
        case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
            return 7
        case _:
            return process.FAILED


def _may_exist(error: duetime_client.DuetimeError) -> duetime_client.NewTask | None:
    """Returns the task that may have been created, as it can be retried."""
    is_unknown = isinstance(error, duetime_client.Unavailable | duetime_client.DeadlineExceeded)
    return error.remaining[0] if is_unknown and error.remaining else None


def _print(error: duetime_client.DuetimeError) -> None:
    if isinstance(error, duetime_client.InvalidArgument) and len(error.violations) > 1:
        printing.error("several fields are invalid")
        for field, description in error.violations:
            printing.note(f"  {field}: {description}")
    else:
        printing.error(error.message)
    if error.reason == _NO_KEY:
        printing.note(
            "  DUETIME_API_KEY_FILE names a file with your API key. That of a stack on this machine is found in"
        )
        printing.note(
            "  its data directory, DUETIME_DATA_DIR or .duetime, if that is yours and no other user can write it,"
        )
        printing.note("  and sent while it runs to the address in its admin.address: write that, and not localhost.")
    if new := _may_exist(error):
        printing.note("  The task may have been created. To retry without creating it twice, repeat the command with")
        printing.note(f"  --request-id {shlex.quote(str(new.request_id))} {_when(new.execution_time)}")


def _when(when: object) -> str:
    if isinstance(when, duetime_client.LocalTime):
        return f"--at {when.local_time.isoformat()} --zone {shlex.quote(when.time_zone)}"
    assert isinstance(when, datetime.datetime)  # the client resolved it
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
