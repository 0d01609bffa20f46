"""Calls are refused before their requests are parsed, by who makes them."""

from typing import Any

import grpc
import grpc.aio
import pytest
import structlog.testing
from google.rpc import error_details_pb2, status_pb2

from duetime_core.model import errors
from duetime_core.model.access import Principal, Role
from duetime_server.access import rules
from tests.support import principals

NEEDS_KEY = [path for path, rule in rules.RULES.items() if rule.role is not None]


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(info)
    return info


async def refused(channel: grpc.aio.Channel, path: str, metadata: list[tuple[str, str]]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await principals.call(channel, path, metadata)
    return caught.value


@pytest.mark.parametrize("metadata", principals.INVALID.values(), ids=principals.INVALID)
async def test_every_method_needs_one_valid_key(metadata: list[tuple[str, str]]) -> None:
    with structlog.testing.capture_logs() as logged:
        async with principals.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
            for path in NEEDS_KEY:
                error = await refused(channel, path, metadata)
                assert error.code() is grpc.StatusCode.UNAUTHENTICATED, path
                assert info_of(error).reason == ("CREDENTIALS_INVALID" if metadata else "CREDENTIALS_MISSING")
                assert ("www-authenticate", "Bearer") in list(error.trailing_metadata() or ())
                assert principals.SECRET not in str(error)
    assert server.calls == []
    assert principals.SECRET not in str(logged)


@pytest.mark.parametrize("role", Role)
async def test_each_role_may_call_exactly_its_methods(role: Role) -> None:
    metadata = [("authorization", f"Bearer {role}")]
    async with principals.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
        for path in NEEDS_KEY:
            if rules.RULES[path].allows(role):
                await principals.call(channel, path, metadata)
                assert server.calls.pop() == (path, principals.PRINCIPALS[role])
            else:
                error, name = await refused(channel, path, metadata), path.rpartition("/")[2]
                assert error.code() is grpc.StatusCode.PERMISSION_DENIED, path
                assert dict(info_of(error).metadata) == {"role": role, "method": name}
                assert error.details() == f"The role {role} may not call {name}."
        assert server.calls == []


async def test_a_method_without_a_rule_is_denied_to_every_role() -> None:
    path = "/duetime.v1.TaskService/NewMethod"
    async with principals.serving(unknown=path) as server, grpc.aio.insecure_channel(server.address) as channel:
        for role in Role:
            error = await refused(channel, path, [("authorization", f"Bearer {role}")])
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert server.calls == []


async def test_other_spellings_of_a_path_are_no_method() -> None:
    async with principals.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
        for path in (
            "//duetime.v1.TaskService/GetTask",
            "/duetime.v1.TaskService//GetTask",
            "/duetime.v1.TaskService/./GetTask",
            "/duetime.v1.TaskService%2fGetTask",
            "/duetime.v1.taskservice/gettask",
            "/duetime.v1.TaskService/GetTask/",
        ):
            error = await refused(channel, path, [("authorization", "Bearer admin")])
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert server.calls == []


async def test_health_is_checked_without_a_key_and_whatever_key_is_sent() -> None:
    path = "/grpc.health.v1.Health/Check"
    async with principals.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
        for metadata in principals.INVALID.values():
            await principals.call(channel, path, metadata)
            assert server.calls.pop() == (path, None)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (errors.StoreUnavailable(), grpc.StatusCode.UNAVAILABLE),
        (ZeroDivisionError(principals.SECRET), grpc.StatusCode.INTERNAL),
    ],
)
async def test_a_failure_to_authenticate_lets_nobody_in(failure: Exception, code: grpc.StatusCode) -> None:
    async def fail(token: str) -> Principal:
        raise failure

    with structlog.testing.capture_logs():
        async with principals.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
            server.tokens.authenticate = fail  # type: ignore[method-assign]
            for path in NEEDS_KEY:
                error = await refused(channel, path, [("authorization", "Bearer admin")])
                assert error.code() is code
                assert principals.SECRET not in str(error)
            assert server.calls == []
