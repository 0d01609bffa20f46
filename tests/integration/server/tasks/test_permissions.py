"""A submitter sees the status of, and cancels, only tasks that it created: others do not exist for it."""

import grpc
import grpc.aio
import pytest

from duetime_core.model.access import Principal, Role
from tests.acceptance import requests
from tests.support.guarded import Guarded


async def refusal(guarded: Guarded, method: str, task_id: int, token: str) -> tuple[grpc.StatusCode, str, object]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await guarded.call(method, task_id=task_id, token=token)
    return caught.value.code(), caught.value.details() or "", caught.value.trailing_metadata()


@pytest.mark.parametrize("method", ["GetTaskStatus", "CancelTask"])
async def test_a_task_of_another_caller_looks_like_one_that_never_was(guarded: Guarded, method: str) -> None:
    guarded.tokens.principals["other"] = Principal("key:other", Role.SUBMITTER)
    following = (await guarded.call("CreateTask", requests.as_message(), token="submitter")).task_id + 1
    missing = await refusal(guarded, method, following, "other")
    task_id = (await guarded.call("CreateTask", requests.as_message(), token="submitter")).task_id
    assert task_id == following
    hidden = await refusal(guarded, method, task_id, "other")
    assert hidden == missing
    assert hidden[0] is grpc.StatusCode.NOT_FOUND
    assert (await guarded.call("GetTask", task_id=task_id)).version == 1


async def test_a_submitter_follows_and_cancels_its_own_tasks_also_after_others_changed_them(guarded: Guarded) -> None:
    task_id = (await guarded.call("CreateTask", requests.as_message(), token="submitter")).task_id
    await guarded.call("UpdateTask", task_id=task_id, priority=4, token="editor")
    assert (await guarded.call("GetTaskStatus", task_id=task_id, token="submitter")).status
    await guarded.call("CancelTask", task_id=task_id, token="submitter")


async def test_the_other_roles_see_the_tasks_of_a_submitter(guarded: Guarded) -> None:
    task_id = (await guarded.call("CreateTask", requests.as_message(), token="submitter")).task_id
    for token in ("viewer", "operator", "editor", "admin"):
        assert (await guarded.call("GetTaskStatus", task_id=task_id, token=token)).status
