"""How many more tasks may run in a worker."""

import asyncio

import pytest

from duetime_worker import execution, handlers, slots
from duetime_worker.run import Run
from tests.support import runs


@handlers.handler("plain")
def plain() -> None:
    """Ends at once."""


@handlers.handler("coroutine")
async def coroutine() -> None:
    """Ends at once."""


def given(*names: str, concurrency: int = 1_000, threads: int = 100) -> slots.Slots:
    """Returns the slots of a worker with the handlers of these names."""
    found = {"plain": plain, "coroutine": coroutine}
    registry = {name: registered for name in names if (registered := handlers.registered(found[name])) is not None}
    return slots.Slots(execution.Executor(registry, threads=threads), concurrency=concurrency, threads=threads)


def run(name: str, *, size: int = 0) -> Run:
    """Returns a run of a task with that name, and with task_data of that size."""
    return Run(runs.claimed(name=name), 0.0, size)


def test_without_plain_functions_threads_do_not_count() -> None:
    limited = given("coroutine", threads=1)
    for _ in range(10):
        limited.take(run("coroutine"))
    assert limited.free == 990


def test_with_a_plain_function_no_more_tasks_are_claimed_than_threads_are_free() -> None:
    limited = given("plain", "coroutine")
    assert limited.free == 100
    for _ in range(40):
        limited.take(run("plain"))
        limited.take(run("coroutine"))
    assert limited.free == 60  # coroutines take a slot, and no thread
    for _ in range(60):
        limited.take(run("plain"))
    assert limited.free == 0


def test_more_threads_than_slots_are_never_used() -> None:
    limited = given("plain", concurrency=3)
    taken = [run("plain") for _ in range(3)]
    for each in taken:
        limited.take(each)
    assert limited.free == 0
    limited.give_back(taken[0])
    assert limited.free == 1


def test_a_task_without_a_handler_takes_a_slot_and_no_thread() -> None:
    limited = given("plain")
    limited.take(run("misspelt"))
    assert limited.free == 100


@pytest.mark.parametrize("name", ["plain", "coroutine"])
async def test_a_plain_function_that_continues_after_its_run_keeps_its_place(name: str) -> None:
    limited = given(name, concurrency=10, threads=10)
    limited._executor.abandoned.add(asyncio.Future())
    assert limited.free == 9


def test_nothing_is_claimed_while_the_task_data_of_all_runs_is_large() -> None:
    limited = given("coroutine")
    large = [run("coroutine", size=250_000) for _ in range(128)]
    for each in large:
        assert limited.free > 0
        limited.take(each)
    assert limited.free == 0
    limited.give_back(large[0])
    assert limited.free == 1_000 - 127
