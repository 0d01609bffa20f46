"""Large requests and rows are handled in the thread, ordinary ones on the event loop."""

import threading
from typing import Any

import pytest

from duetime.v1 import task_service_pb2
from duetime_core.model import schedule
from duetime_server.rpc import offload

SMALL = schedule.Template("noop")
REQUEST = task_service_pb2.GetTaskRequest()


def where(*_: Any) -> str:
    return "loop" if threading.current_thread() is threading.main_thread() else "thread"


@pytest.mark.parametrize(("size", "expected"), [(offload.INLINE_BYTES, "loop"), (offload.INLINE_BYTES + 1, "thread")])
async def test_a_large_request_is_read_in_the_thread(size: int, expected: str) -> None:
    token = offload.request_bytes.set(size)
    assert await offload.Offload().read(where, REQUEST) == expected
    offload.request_bytes.reset(token)


async def test_a_list_is_written_in_the_thread_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    offloader = offload.Offload()
    assert await offloader.write_all(where, [SMALL, SMALL]) == ["loop", "loop"]
    monkeypatch.setattr(offload, "_TURN_SECONDS", -1)
    assert await offloader.write_all(where, [SMALL, SMALL]) == ["thread", "thread"]


@pytest.mark.parametrize(("is_large", "expected"), [(False, "loop"), (True, "thread")])
async def test_a_large_row_is_written_in_the_thread(
    monkeypatch: pytest.MonkeyPatch, is_large: bool, expected: str
) -> None:
    monkeypatch.setattr(offload, "_is_large", lambda _: is_large)

    async def find() -> schedule.Template:
        return SMALL

    offloader = offload.Offload()
    assert await offloader.write(where, SMALL) == expected
    assert await offloader.find(where, find) == expected
