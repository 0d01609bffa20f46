"""Runs a handler once, and returns the outcome."""

import asyncio
import concurrent.futures
import contextvars
import datetime
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

import duetime_payloads
from duetime_core.model import namespace, payload, task
from duetime_core.store.tasks import outcomes as task_outcomes
from duetime_worker import first_step, handlers, redaction, registry, time_limit
from duetime_worker import inputs as task_inputs

MAX_ERROR_CHARACTERS = 2000

_log = structlog.get_logger()


class Executor:
    """Runs handlers: coroutines on the event loop, plain functions in at most `threads` threads.

    A task's data is decrypted before, and the secrets that it refers to are read. What the run logs, returns or raises
    shows neither; the result of a task with encrypted data is encrypted too.
    """

    def __init__(
        self,
        registry: Mapping[str, handlers.Handler],
        *,
        threads: int,
        inputs: task_inputs.Inputs | None = None,
    ) -> None:
        self._registry = registry
        self._inputs = inputs or task_inputs.Inputs()
        self._threads = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="handler")
        self.has_plain_functions = any(not handler.is_coroutine for handler in registry.values())
        """Whether any handler is a plain function, which runs in a thread."""
        self.abandoned: set[asyncio.Future[Any]] = set()
        """Plain functions that still run although their runs have ended, because a thread cannot be stopped."""

    def is_plain_function(self, name: str) -> bool:
        """Returns whether the handler of that name is a plain function, which cannot be cancelled."""
        handler = self._registry.get(name)
        return handler is not None and not handler.is_coroutine

    async def run(
        self,
        claimed: task.Task,
        stop: handlers.Stop | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> task_outcomes.Outcome:
        """Runs the handler of `claimed` under its timeout and returns the outcome, whatever the handler raises.

        What the handler reads from the store is of the namespace of its task.
        A plain function that timed out has its outcome when it has ended: until then its task is running, and counts
        under its queue's limits. `stop` is what the handler sees as `task.cancelled`. `on_wait` is called once the
        handler waits for something, if it does. If this is cancelled, it cancels the handler and raises CancelledError.
        """
        started = time.monotonic()
        result = error_message = backoff = None
        try:
            with namespace.use(claimed.namespace_id):
                result = self._encode(claimed, await self._call(claimed, stop or handlers.Stop(), on_wait, started))
            change = task.Change.COMPLETED
        except handlers.Fail as error:
            change, error_message = task.Change.FAILED, _describe(error)
        except BaseException as error:
            if not _is_failure(error):
                raise
            error_message = _describe(error)
            # Retry is raised on purpose: its message suffices, without a traceback.
            has_traceback = not isinstance(error, handlers.Retry) and not redaction.withholds_texts()
            cause = {"exc_info": error} if has_traceback else {"error": error_message}
            if redaction.withholds_texts():
                redaction.end()  # error_message is without what must not be seen, and the rest of this line is ours
            _log.warning("run failed", task_id=claimed.task_id, name=claimed.name, **cause)
            if claimed.retry_count < claimed.max_retries:
                change = task.Change.RETRY_SCHEDULED
                after = error.after if isinstance(error, handlers.Retry) else None
                backoff = claimed.retry_policy.backoff(claimed.retry_count + 1) if after is None else after
            else:
                change = task.Change.FAILED
        finally:
            redaction.end()
        return task_outcomes.Outcome(
            claimed.task_id,
            claimed.version,
            change,
            duration=datetime.timedelta(seconds=time.monotonic() - started),
            started_at=task_outcomes.started_at(claimed),
            lease_id=claimed.lease_id,
            result=result,
            error_message=error_message,
            backoff=backoff,
        )

    async def _call(
        self, claimed: task.Task, stop: handlers.Stop, on_wait: Callable[[], None], started: float
    ) -> object:
        handler = self._registry.get(claimed.name)
        if handler is None:
            # Retried, because during a deployment other workers may already have its handler.
            raise handlers.Retry(registry.unknown(claimed.name, self._registry))
        task_data, seconds = claimed.task_data, 0.0
        try:
            if task_inputs.is_stored_otherwise(task_data):
                on_wait()
                on_wait = _nothing
                seconds = handler.limit(claimed.timeout).total_seconds()
                given = await time_limit.run(asyncio.to_thread(self._inputs.read, handler.name, task_data), seconds)
                assert isinstance(given, task_inputs.Input)
                redaction.begin(given.hidden)
                task_data = given.task_data
            arguments = handler.arguments(_run(claimed, task_data, stop))
            if not handler.is_coroutine:
                on_wait()
                seconds = handler.limit(claimed.timeout).total_seconds()
                return await self._call_in_thread(functools.partial(handler.function, **arguments), seconds, stop)
            begun = first_step.Begun(handler.function(**arguments))
            if begun.has_ended:  # as most do
                return begun.result
            on_wait()
            seconds = handler.limit(claimed.timeout).total_seconds()
            return await time_limit.run(begun, max(0.0, seconds - (time.monotonic() - started)))
        except time_limit.ReachedError as error:
            is_capped = claimed.timeout is not None and claimed.timeout.total_seconds() > seconds
            reason = f', the max_timeout of handler "{handler.name}"' if is_capped else ""
            raise TimeoutError(f"timed out after {seconds:g} s{reason}") from error
        finally:
            stop.is_set = True

    def _encode(self, claimed: task.Task, result: object) -> str | None:
        if result is None:
            return None
        if not isinstance(result, dict):
            raise handlers.Fail(f"the handler returned a {type(result).__name__}; it must return a dict or None")
        try:
            encoded = payload.encode(result)
            shown = redaction.result(result)
            if duetime_payloads.is_encrypted(claimed.task_data):
                return self._inputs.encrypted(claimed.name, shown)
            return encoded if shown is result else payload.encode(shown)
        except payload.PayloadError as error:
            raise handlers.Fail(f"the handler's result cannot be stored: result{error.path}: {error.problem}") from None

    async def _call_in_thread(self, call: functools.partial[Any], seconds: float, stop: handlers.Stop) -> object:
        future = asyncio.wrap_future(self._threads.submit(contextvars.copy_context().run, _in_thread, call))
        try:
            await asyncio.wait({future}, timeout=seconds)
            if future.done():
                return future.result()
            stop.is_set = True
            _log.warning("a plain function continues after its timeout", seconds=seconds)
            await asyncio.wait({future})
            future.exception()  # retrieved, or asyncio would log it
            raise time_limit.ReachedError
        finally:
            if not future.done():
                self.abandoned.add(future)
                future.add_done_callback(self._forget)

    def _forget(self, future: asyncio.Future[Any]) -> None:
        self.abandoned.discard(future)
        if not future.cancelled():
            future.exception()  # retrieved, or asyncio would log it


def _nothing() -> None:
    pass


def _run(claimed: task.Task, task_data: dict[str, Any], stop: handlers.Stop) -> handlers.Task:
    return handlers.make(
        claimed.task_id,
        claimed.name,
        claimed.queue,
        task_data,
        claimed.execution_time,
        claimed.retry_count + 1,
        claimed.max_retries,
        claimed.version,
        claimed.created_at,
        claimed.concurrency_key,
        claimed.schedule_id,
        claimed.nominal_time,
        stop,
    )


def _in_thread(call: functools.partial[Any]) -> object:
    try:
        return call()
    except (StopIteration, GeneratorExit) as error:  # a future cannot carry these: the run would never end
        raise RuntimeError(f"the handler raised {type(error).__name__}") from error


def _is_failure(error: BaseException) -> bool:
    """Returns whether the handler itself raised it; otherwise the run was cancelled, or the process interrupted."""
    if isinstance(error, asyncio.CancelledError):
        current = asyncio.current_task()
        return current is not None and not current.cancelling()
    return not isinstance(error, KeyboardInterrupt)


def _describe(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # the error has no usable message, but the run failed
        text = "(its message cannot be read)"
    text = redaction.text(text[: 4 * MAX_ERROR_CHARACTERS])
    if not isinstance(error, handlers.Retry | handlers.Fail):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    # PostgreSQL rejects NUL and invalid Unicode.
    text = text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="backslashreplace").decode()
    return text if len(text) <= MAX_ERROR_CHARACTERS else text[: MAX_ERROR_CHARACTERS - 1] + "…"
