"""Running handlers, without a database."""

import asyncio
import concurrent.futures
import datetime
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pydantic
import pytest
import structlog
import structlog.testing

from duetime_core.model import task
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import execution, handlers
from tests.support import runs

HOUR = datetime.timedelta(hours=1)


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    with structlog.testing.capture_logs():  # printing them is slow
        yield


def executor(*functions: Callable[..., Any], timeout: float | None = None) -> execution.Executor:
    """Returns an executor with this handler of "do"."""
    found = [handlers.registered(handlers.handler("do", timeout=timeout)(function)) for function in functions]
    return execution.Executor({each.name: each for each in found if each is not None}, threads=2)


async def run(function: Callable[..., Any], **changes: Any) -> task_outcomes.Outcome:
    return await executor(function).run(runs.claimed(name="do", **changes))


def raising(error: BaseException) -> list[Callable[[], Any]]:
    """Returns a plain function and a coroutine that raise `error`."""

    def plain() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    return [plain, coroutine]


async def test_the_result_is_what_the_handler_returns() -> None:
    def plain(given: handlers.Task) -> dict[str, Any]:
        return {"got": given.task_data, "in": threading.current_thread().name.partition("_")[0]}

    async def coroutine(given: handlers.Task) -> None:
        assert (given.attempt, given.max_retries, given.cancelled) == (3, 5, False)

    outcome = await run(plain, task_data={"a": 1}, version=9)
    assert (outcome.task_id, outcome.version, outcome.change) == (7, 9, task.Change.COMPLETED)
    assert outcome.result == '{"got":{"a":1},"in":"handler"}'
    assert outcome.duration > datetime.timedelta(0)
    outcome = await run(coroutine, retry_count=2, max_retries=5)
    assert (outcome.change, outcome.result, outcome.error_message) == (task.Change.COMPLETED, None, None)


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ([1], "the handler returned a list; it must return a dict or None"),
        ({"a": {1}}, "the handler's result cannot be stored: result.a: is a set, which JSON does not have"),
        ({"a": "\0"}, "the handler's result cannot be stored: result.a: must not contain the NUL character"),
        ({1: 2}, "the handler's result cannot be stored: result: has the key 1; keys must be strings"),
    ],
)
async def test_a_result_that_cannot_be_stored_fails_at_once(result: object, problem: str) -> None:
    outcome = await run(lambda: result)
    assert (outcome.change, outcome.error_message) == (task.Change.FAILED, problem)


@pytest.mark.parametrize("function", raising(ValueError("no")))
async def test_an_error_is_retried_after_the_backoff_while_retries_are_left(function: Callable[..., Any]) -> None:
    policy = task.RetryPolicy(datetime.timedelta(seconds=1), HOUR, multiplier=3, jitter=0)
    outcome = await run(function, retry_count=2, max_retries=3, retry_policy=policy)
    assert (outcome.change, outcome.error_message) == (task.Change.RETRY_SCHEDULED, "ValueError: no")
    assert outcome.backoff == datetime.timedelta(seconds=9)
    outcome = await run(function, retry_count=3, max_retries=3, retry_policy=policy)
    assert (outcome.change, outcome.error_message, outcome.backoff) == (task.Change.FAILED, "ValueError: no", None)


@pytest.mark.parametrize("function", raising(handlers.Retry("later", after=60)))
async def test_retry_gives_the_backoff(function: Callable[..., Any]) -> None:
    outcome = await run(function)
    assert (outcome.change, outcome.error_message) == (task.Change.RETRY_SCHEDULED, "later")
    assert outcome.backoff == datetime.timedelta(seconds=60)
    assert (await run(function, retry_count=3)).change is task.Change.FAILED


async def test_retry_without_a_time_uses_the_retry_policy() -> None:
    policy = task.RetryPolicy(HOUR, HOUR, jitter=0)
    assert (await run(raising(handlers.Retry())[0], retry_policy=policy)).backoff == HOUR


async def test_only_unexpected_errors_are_logged_with_a_traceback() -> None:
    logged = {}
    for error in (handlers.Retry("it is busy"), RuntimeError("a bug")):
        with structlog.testing.capture_logs() as lines:
            await run(raising(error)[0], max_retries=1)
        (logged[type(error)],) = lines
    assert logged[handlers.Retry]["error"] == "it is busy"
    assert "exc_info" not in logged[handlers.Retry]
    assert "a bug" in str(logged[RuntimeError]["exc_info"])


@pytest.mark.parametrize("function", raising(handlers.Fail("never")))
async def test_fail_ignores_the_remaining_retries(function: Callable[..., Any]) -> None:
    outcome = await run(function)
    assert (outcome.change, outcome.error_message, outcome.backoff) == (task.Change.FAILED, "never", None)


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


class Stop(BaseException):
    """Like exceptions that libraries raise past `except Exception`."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SystemExit("goodbye"), "SystemExit: goodbye"),
        (Stop("here"), "Stop: here"),
        (asyncio.CancelledError(), "CancelledError"),
        (concurrent.futures.CancelledError(), "CancelledError"),
        (TimeoutError("mine"), "TimeoutError: mine"),
        (StopIteration(), "RuntimeError: "),
        (KeyError("a"), "KeyError: 'a'"),
        (ValueError(), "ValueError"),
        (ValueError("a\0b\ud800"), "ValueError: a�b\\ud800"),
        (Silent(), "Silent: (its message cannot be read)"),
    ],
)
async def test_any_exception_of_a_handler_is_a_failure_with_a_message_that_can_be_stored(
    error: BaseException, message: str
) -> None:
    for function in raising(error):
        outcome = await run(function)
        assert outcome.change is task.Change.RETRY_SCHEDULED
        assert outcome.error_message is not None
        assert outcome.error_message.startswith(message)


async def test_a_handler_may_raise_generator_exit() -> None:
    outcomes = [await run(function) for function in raising(GeneratorExit())]
    assert {outcome.change for outcome in outcomes} == {task.Change.RETRY_SCHEDULED}


async def test_a_long_message_is_cut() -> None:
    message = (await run(raising(ValueError("é" * 100_000))[0])).error_message
    assert message is not None
    assert (len(message), message[-2:]) == (execution.MAX_ERROR_CHARACTERS, "é…")


@pytest.mark.parametrize(("retry_count", "change"), [(0, task.Change.RETRY_SCHEDULED), (3, task.Change.FAILED)])
async def test_a_name_without_a_handler_is_a_failure_that_lists_the_registered_names(
    retry_count: int, change: task.Change
) -> None:
    async def nothing() -> None: ...

    outcome = await executor(nothing).run(runs.claimed(name="dO", retry_count=retry_count))
    assert outcome.change is change
    assert outcome.error_message == 'no handler is registered for "dO"; registered are: "do"; did you mean "do"?'


async def test_invalid_task_data_fails_without_a_retry() -> None:
    class Order(pydantic.BaseModel):
        product: str

    async def order(ordered: Order) -> None: ...

    outcome = await run(order)
    assert outcome.change is task.Change.FAILED
    assert outcome.error_message == "task_data does not fit Order: product: is required"


async def test_a_coroutine_ends_at_its_timeout() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    outcome = await run(wait, timeout=datetime.timedelta(seconds=0.05))
    assert (outcome.change, outcome.error_message) == (
        task.Change.RETRY_SCHEDULED,
        "TimeoutError: timed out after 0.05 s",
    )
    outcome = await executor(wait, timeout=0.05).run(runs.claimed(name="do"))
    assert outcome.error_message == "TimeoutError: timed out after 0.05 s"


async def test_a_tasks_timeout_takes_precedence_over_its_handlers() -> None:
    async def wait() -> None:
        await asyncio.sleep(0)

    outcome = await executor(wait, timeout=1e-9).run(runs.claimed(name="do", timeout=HOUR))
    assert outcome.change is task.Change.COMPLETED


async def test_a_tasks_timeout_is_capped_by_its_handlers_max_timeout() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    registered = handlers.registered(handlers.handler("do", max_timeout=0.05)(wait))
    assert registered is not None
    runner = execution.Executor({"do": registered}, threads=2)
    outcome = await runner.run(runs.claimed(name="do", timeout=HOUR))
    assert outcome.error_message == 'TimeoutError: timed out after 0.05 s, the max_timeout of handler "do"'


@pytest.mark.parametrize("raises", [False, True])
async def test_a_plain_function_that_times_out_has_its_outcome_once_it_has_ended(raises: bool) -> None:
    timed_out, end = threading.Event(), threading.Event()

    def block(given: handlers.Task) -> None:
        while not given.cancelled:
            time.sleep(0.001)
        timed_out.set()
        end.wait(30)
        if raises:
            raise ValueError("too late")

    runner = executor(block, timeout=0.05)
    running = asyncio.create_task(runner.run(runs.claimed(name="do")))
    await asyncio.to_thread(timed_out.wait)
    await asyncio.sleep(0)
    assert not running.done()
    end.set()
    outcome = await running
    assert outcome.error_message == "TimeoutError: timed out after 0.05 s"
    assert not runner.abandoned


async def _cancelled(runner: execution.Executor, began: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
    running = asyncio.create_task(runner.run(runs.claimed(name="do")))
    await began()
    running.cancel()
    await asyncio.wait({running})
    return running


async def test_cancelling_a_run_cancels_its_coroutine_and_has_no_outcome() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert (await _cancelled(executor(wait), began.wait)).cancelled()
    assert ended.is_set()


async def test_cancelling_a_run_sets_its_tasks_cancelled() -> None:
    began, seen = threading.Event(), threading.Event()

    def block(given: handlers.Task) -> None:
        began.set()
        while not given.cancelled:
            time.sleep(0.001)  # like a handler that checks it now and then
        seen.set()

    runner = executor(block)
    assert (await _cancelled(runner, lambda: asyncio.to_thread(began.wait))).cancelled()
    assert await asyncio.to_thread(seen.wait, 30)


async def test_an_error_of_an_abandoned_thread_is_ignored() -> None:
    began, end = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        end.wait(30)
        raise ValueError("too late")

    runner = executor(block)
    await _cancelled(runner, lambda: asyncio.to_thread(began.wait))
    (abandoned,) = runner.abandoned
    end.set()
    await asyncio.wait({abandoned})
    assert not runner.abandoned
