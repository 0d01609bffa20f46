"""Fixtures: one stack that all acceptance tests share, each with its own tasks."""

import pathlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import httpx
import pytest
import pytest_asyncio

from duetime.v1 import task_service_pb2_grpc
from tests.support import stacks


@pytest_asyncio.fixture(scope="session")
async def stack(short_directory: pathlib.Path) -> AsyncIterator[stacks.Stack]:
    """A stack with the handlers of `tests.support.handlers`."""
    stack = await stacks.start(short_directory / "stack")
    yield stack
    assert await stack.stop() == 0


@pytest_asyncio.fixture
async def rest(stack: stacks.Stack) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the stack."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
        yield client


@pytest_asyncio.fixture
async def stub(stack: stacks.Stack) -> AsyncIterator[Any]:
    """A gRPC stub of the stack, through Envoy."""
    async with grpc.aio.insecure_channel(stack.address) as channel:
        yield task_service_pb2_grpc.TaskServiceStub(channel)


@pytest.fixture
def queue() -> str:
    """The name of a queue that no other test uses and no worker serves."""
    return f"queue-{uuid.uuid4()}"
