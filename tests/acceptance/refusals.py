"""Errors as callers receive them, over gRPC and REST."""

import dataclasses
from collections.abc import Awaitable
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2


@dataclasses.dataclass(frozen=True)
class Refusal:
    """An error, from either transport."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]
    fields: dict[str, str]  # field → description


_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def over_grpc(call: Awaitable[Any]) -> Refusal:
    """Returns the error of the call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    trailers = dict(refused.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == refused.value.code().value[0]
    return _refusal(status)


def over_rest(response: httpx.Response) -> Refusal:
    """Returns the error of the response, and verifies its format."""
    body = response.json()
    assert response.status_code >= 400
    assert response.headers["content-type"] == "application/json"
    assert body.keys() == {"code", "message", "details"}
    info = body["details"][0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "duetime"
    violations = [each for detail in body["details"] for each in detail.get("field_violations", ())]
    fields = {violation["field"]: violation["description"] for violation in violations}
    return Refusal(_CODES[body["code"]], info["reason"], body["message"], info["metadata"], fields)


def _refusal(status: status_pb2.Status) -> Refusal:
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(bad_request)
    assert info.domain == "duetime"
    fields = {violation.field: violation.description for violation in bad_request.field_violations}
    return Refusal(_CODES[status.code], info.reason, status.message, dict(info.metadata), fields)
