"""A watch ends once its caller may no longer make it."""

import asyncio

import grpc
import grpc.aio
import pytest

from duetime_core.model import errors
from duetime_core.model.access import Principal, Role
from duetime_server.access import responses
from duetime_server.watch import subscription
from tests.acceptance import requests
from tests.support.guarded import Guarded


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(responses, "_CHECK_SECONDS", 0.0)


@pytest.mark.parametrize("change", ["revoked", "demoted"])
@pytest.mark.parametrize("is_busy", [False, True])
async def test_it_ends_at_a_heartbeat_or_a_change_with_the_cursor_to_resume_from(
    guarded: Guarded, change: str, is_busy: bool
) -> None:
    watch = guarded.watch("WatchTasks", token="viewer")
    cursor = (await watch.read()).cursor
    if change == "revoked":
        del guarded.tokens.principals["viewer"]
    else:
        guarded.tokens.principals["viewer"] = Principal("key:viewer", Role.SUBMITTER)
    if is_busy:
        await guarded.call("CreateTask", requests.as_message())
    async with asyncio.timeout(30):
        event = await watch.read()
        assert (event.WhichOneof("event"), event.end.reason) == ("end", "CREDENTIALS_EXPIRED")
        assert await watch.read() is grpc.aio.EOF
    resumed = guarded.watch("WatchTasks", token="editor", cursor=event.cursor or cursor)
    if is_busy:
        assert (await resumed.read()).WhichOneof("event") in ("heartbeat", "change")
    resumed.cancel()


async def test_a_watch_of_a_caller_who_keeps_its_rights_continues(guarded: Guarded) -> None:
    watch = guarded.watch("WatchTasks", token="viewer")
    async with asyncio.timeout(30):
        for _ in range(5):
            assert (await watch.read()).WhichOneof("event") == "heartbeat"
    watch.cancel()


async def test_a_watch_whose_caller_cannot_be_checked_breaks_off(guarded: Guarded) -> None:
    watch = guarded.watch("WatchTasks", token="viewer")
    await watch.read()

    async def fail(token: str) -> Principal:
        raise errors.StoreUnavailable

    guarded.tokens.authenticate = fail  # type: ignore[method-assign]
    async with asyncio.timeout(30):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
