"""Converts gRPC's errors to this package's, by their google.rpc.ErrorInfo."""

from __future__ import annotations

import datetime
from typing import cast

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from grpc_status import rpc_status

from duetime_client import address, certificates, errors, moment, proxy

DOMAIN = "duetime"

_BY_REASON: dict[str, type[errors.DuetimeError]] = {
    kind.reason: kind
    for kind in (
        errors.TaskNotFound,
        errors.QueueNotFound,
        errors.ScheduleNotFound,
        errors.ApiKeyNotFound,
        errors.ApiKeyNotInForce,
        errors.LastAdminKey,
        errors.GrantExceeded,
        errors.TaskNotPending,
        errors.TaskRunning,
        errors.TaskFinished,
        errors.TaskNotRetryable,
        errors.VersionMismatch,
        errors.RequestIdReused,
        errors.RequestIdOfDeletedTask,
        errors.RequestIdOfCancelledTask,
        errors.RequestIdOfDeletedSchedule,
        errors.TaskIdsExhausted,
        errors.ServerBusy,
        errors.CallRateExceeded,
        errors.TooManyCalls,
    )
}
# Without a known reason: errors of gRPC and Envoy themselves, and reasons of newer servers.
_BY_CODE: dict[grpc.StatusCode, type[errors.DuetimeError]] = {
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.StateConflict,
    grpc.StatusCode.ALREADY_EXISTS: errors.RequestIdTaken,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
}


# Prefixes of gRPC's own messages that end with the cause.
_NOT_CONNECTED = "failed to connect to all addresses; last error: "
_LAYERED = (_NOT_CONNECTED, "errors resolving ")
# What a server that expects TLS does with anything else.
_HUNG_UP = ("Socket closed", "Connection reset by peer")


def translate(error: grpc.RpcError, server: address.Address) -> errors.DuetimeError:
    """Returns the DuetimeError for `error`, from a call to the server."""
    code = error.code()
    status = _rich_status(error)
    info = error_info(error)
    message = error.details() or code.name
    if info is None and code is grpc.StatusCode.UNAVAILABLE:
        refused = tls_failure(error)
        unreachable = f"{server.target} cannot be reached{proxy.described(server.target)}"
        if refused is not None:
            return errors.TlsFailed(f"{unreachable}: {refused}")
        message = f"{unreachable}: {_cause(message, server)}"
    elif info is None and code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{server.target} did not respond in time. The outcome is unknown: a change may have been committed"
    metadata = dict(info.metadata) if info else {}
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return errors.InvalidArgument(*_violations(status), message=message, metadata=metadata)
    reason = info.reason if info else code.name
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, errors.DuetimeError)
    translated = kind(message, code=code, reason=reason, metadata=metadata)
    if isinstance(translated, errors.ServerBusy):
        translated.retry_after = retry_delay(error) or translated.retry_after
    return translated


def tls_failure(error: grpc.RpcError) -> str | None:
    """Returns why TLS with the server failed for a reason that no retry changes; None for other errors."""
    return certificates.failure(error.details() or "") if never_connected(error) else None


def never_connected(error: grpc.RpcError) -> bool:
    """Whether gRPC failed to connect to any address of the server."""
    details = error.details() or ""
    return error.code() is grpc.StatusCode.UNAVAILABLE and details.startswith(_NOT_CONNECTED)


def _cause(message: str, server: address.Address) -> str:
    """Returns the cause alone of gRPC's own message, such as `Connection refused`."""
    if not message.startswith(_LAYERED):
        return message
    if (failed := certificates.handshake_error(message)) is not None:
        return failed
    cause = message.rpartition(": ")[2].removesuffix("]")
    if message.startswith(_NOT_CONNECTED) and not server.is_encrypted and any(each in cause for each in _HUNG_UP):
        return f"{cause}; if it expects TLS, write https://"
    return cause


def error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    """Returns the ErrorInfo of Duetime's server; None if the error is gRPC's or Envoy's."""
    status = _rich_status(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def _violations(status: status_pb2.Status | None) -> list[errors.Violation]:
    bad_request = error_details_pb2.BadRequest()
    return [
        errors.Violation(violation.field, violation.description)
        for detail in (status.details if status else ())
        if detail.Unpack(bad_request)
        for violation in bad_request.field_violations
    ]


def retry_delay(error: grpc.RpcError) -> datetime.timedelta | None:
    """Returns how long the server asks to wait before a retry; None if it does not ask for one."""
    status = _rich_status(error)
    retry_info = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(retry_info):
            return moment.from_duration(retry_info.retry_delay)
    return None


def _rich_status(error: grpc.RpcError) -> status_pb2.Status | None:
    # The errors of both clients have code, details and trailing metadata, which is all that from_call reads.
    assert isinstance(error, grpc.Call | aio.AioRpcError)
    try:
        return cast("status_pb2.Status | None", rpc_status.from_call(cast("grpc.Call", error)))
    except ValueError:  # a proxy replaced the status but kept the details, which describe the old one
        return None
