"""A handler runs in the namespace of its task."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duetime_core.model import namespace
from tests.support import runs
from tests.unit.worker import test_execution


def plain() -> dict[str, Any]:
    return {"namespace": namespace.current()}


async def at_once() -> dict[str, Any]:
    return plain()


async def waiting() -> dict[str, Any]:
    await asyncio.sleep(0)
    return plain()


@pytest.mark.parametrize("function", [plain, at_once, waiting])
async def test_a_handler_runs_in_the_namespace_of_its_task_and_nothing_after_it_does(
    function: Callable[..., Any],
) -> None:
    outcome = await test_execution.executor(function).run(runs.claimed(name="do", namespace_id=7))
    assert outcome.result == '{"namespace":7}'
    assert namespace.current() == namespace.DEFAULT
