"""The API for handlers: the decorator, the Task they receive, and the exceptions they may raise."""

import dataclasses
import datetime
import functools
import inspect
import math
import typing
from collections.abc import Callable
from typing import Any

import pydantic

from duetime_core.model import builtin, task, validation

DEFAULT_TIMEOUT = datetime.timedelta(hours=1)
"""If neither the task nor its handler has a timeout: a run that hangs must not hold its slot indefinitely."""

MAX_AFTER = datetime.timedelta(days=30)

_ATTRIBUTE = "__duetime_handler__"


class Retry(Exception):
    """Raise it in a handler to retry the task after `after` seconds, or fail it if no retries are left.

    `after` is capped to 30 days, the longest backoff. Without it, the task's retry policy decides. Any other exception
    except Fail is retried by that policy too, and logged with its traceback.
    """

    def __init__(self, message: str = "The handler requested a retry.", *, after: float | None = None) -> None:
        super().__init__(message)
        if after is not None and math.isnan(after):
            raise ValueError("after must be a number of seconds")
        longest = MAX_AFTER.total_seconds()
        self.after = None if after is None else datetime.timedelta(seconds=min(max(after, 0.0), longest))


class Fail(Exception):
    """Raise it in a handler to fail the task at once, without using its remaining retries."""


@dataclasses.dataclass(slots=True)
class Stop:
    """Set once by the event loop and read by the handler, perhaps in a thread; that needs no lock."""

    is_set: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One run of a task, as its handler receives it."""

    task_id: int
    name: str
    queue: str
    task_data: dict[str, Any]
    execution_time: datetime.datetime
    """When this run was due: aware, in UTC, by the database's clock."""
    attempt: int
    """1 for the first run, and one more for each retry. A released task repeats its attempt."""
    max_retries: int
    version: int
    """Rises with every run: a fencing token, by which other systems can refuse writes of an earlier run."""
    created_at: datetime.datetime
    """When the task was created. With task_id it identifies the task across deployments; retries do not change it."""
    concurrency_key: str | None = None
    """The key by which its queue's limits per key count it."""
    schedule_id: int | None = None
    """The schedule that created it."""
    nominal_time: datetime.datetime | None = None
    """The time by the schedule's rule that it stands for, however late it runs: what a report is relative to."""
    _stop: Stop = dataclasses.field(default_factory=Stop, repr=False, compare=False)

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled, timed out or released, so that its result is dropped.

        A coroutine is cancelled through asyncio. A plain function cannot be: if it takes long, it should check this.
        """
        return self._stop.is_set


_Unfrozen: Any = dataclasses.make_dataclass("_Unfrozen", [each.name for each in dataclasses.fields(Task)], slots=True)


def make(*fields: Any) -> Task:
    """Returns the Task of these fields, in order: a frozen dataclass makes it by itself, but four times as slowly."""
    made = _Unfrozen(*fields)
    made.__class__ = Task
    return typing.cast("Task", made)


HandlerFunction = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Handler:
    """A registered function, with the name and options of its tasks and the arguments it takes."""

    name: str
    function: HandlerFunction
    timeout: datetime.timedelta | None
    max_timeout: datetime.timedelta | None
    parameters: dict[str, type[pydantic.BaseModel] | None]  # a model to validate into, or None for the Task
    retries: task.Retries | None = None
    """For tasks that give none. The server applies them when it creates a task."""

    @functools.cached_property
    def is_coroutine(self) -> bool:
        """Whether it is a coroutine, which runs on the event loop, or a plain function, which runs in a thread."""
        return inspect.iscoroutinefunction(self.function)

    def limit(self, requested: datetime.timedelta | None) -> datetime.timedelta:
        """Returns the timeout of a run, of whose task the timeout was `requested`, if any."""
        timeout = requested or self.timeout or DEFAULT_TIMEOUT
        return timeout if self.max_timeout is None else min(timeout, self.max_timeout)

    def arguments(self, run: Task) -> dict[str, Task | pydantic.BaseModel]:
        """Returns the arguments for the function; raises Fail, with the reason, if task_data does not fit its model."""
        found: dict[str, Task | pydantic.BaseModel] = {}
        for name, model in self.parameters.items():
            try:
                found[name] = run if model is None else validation.validate(model, run.task_data)
            except validation.Invalid as invalid:
                assert model is not None
                raise Fail(f"task_data does not fit {model.__name__}: {invalid}") from None
        return found


Decorated = typing.TypeVar("Decorated", bound=HandlerFunction)


def handler(
    name: str,
    *,
    timeout: float | None = None,
    max_timeout: float | None = None,
    max_retries: int | None = None,
    retry_policy: task.RetryPolicy | None = None,
) -> Callable[[Decorated], Decorated]:
    """Registers a function or coroutine as the handler of tasks named `name`. The function itself is unchanged.

    It takes a `Task`, a pydantic model into which task_data is validated, or both, distinguished by their annotations,
    and returns None or a dict that can be encoded as JSON. It must be idempotent, because delivery is at-least-once.
    `timeout` (in seconds), `max_retries` and `retry_policy` are defaults for tasks that give none; `max_timeout` caps
    the timeout of every task. Raises TypeError or ValueError for invalid arguments or parameters.
    """
    if not isinstance(name, str):
        raise TypeError('@handler needs the name of its tasks, such as @handler("Send Invoice")')
    longest, own = _span(name, "max_timeout", max_timeout), _span(name, "timeout", timeout)
    if own is not None and longest is not None and own > longest:
        raise ValueError(
            f'handler "{name}": timeout must be at most max_timeout, which is {max_timeout:g} s, not {timeout:g} s'
        )
    retries = _retries(name, max_retries, retry_policy)

    def register(function: Decorated) -> Decorated:
        registered = Handler(name, function, own, longest, _parameters(function), retries)
        setattr(function, _ATTRIBUTE, registered)
        return function

    return register


def _span(name: str, limit: str, seconds: float | None) -> datetime.timedelta | None:
    if seconds is None:
        return None
    if not 0 < seconds < datetime.timedelta.max.total_seconds():
        raise ValueError(f'handler "{name}": {limit} must be a finite number of seconds above 0, not {seconds!r}')
    return datetime.timedelta(seconds=seconds)


def built_in(spec: builtin.Spec) -> Callable[[Decorated], Decorated]:
    """Registers a function as the built-in handler of the spec."""
    return handler(spec.name, timeout=spec.timeout.total_seconds(), max_timeout=spec.max_timeout.total_seconds())


def registered(function: object) -> Handler | None:
    """Returns the handler that `function` is registered as; None for other objects."""
    # Static, because a proxy object in a user's module may run any code on attribute access.
    found = inspect.getattr_static(function, _ATTRIBUTE, None)
    return found if isinstance(found, Handler) else None


def _retries(name: str, max_retries: int | None, policy: task.RetryPolicy | None) -> task.Retries | None:
    if max_retries is None and policy is None:
        return None
    retries = task.Retries(
        task.DEFAULT_MAX_RETRIES if max_retries is None else max_retries, policy or task.RetryPolicy()
    )
    for problem in retries.problems():
        raise ValueError(f'handler "{name}": {problem}')
    return retries


def _parameters(function: HandlerFunction) -> dict[str, type[pydantic.BaseModel] | None]:
    parameters: dict[str, type[pydantic.BaseModel] | None] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        annotation = parameter.annotation
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"handler {function.__qualname__}: parameter {name!r} cannot be passed by keyword")
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            parameters[name] = annotation
        elif annotation is Task or (annotation is inspect.Parameter.empty and not parameters):
            parameters[name] = None
        else:
            raise TypeError(
                f"handler {function.__qualname__}: parameter {name!r} must be annotated with Task or with a "
                f"pydantic model, not with {annotation!r}"
            )
    return parameters
