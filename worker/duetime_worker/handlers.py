"""What users write: handlers, and what these are given and may raise."""

import dataclasses
import datetime
import inspect
import math
import typing
from collections.abc import Callable
from typing import Any

import pydantic

from duetime_core.model import builtin, task, validation

DEFAULT_TIMEOUT = datetime.timedelta(hours=1)
"""For a task and a handler that say nothing: a run that hangs must not keep its place indefinitely."""

MAX_AFTER = datetime.timedelta(days=30)

_ATTRIBUTE = "__duetime_handler__"


class Retry(Exception):
    """Raised by a handler to say "later": the task runs again after `after` seconds, if retries are left.

    At most after 30 days, the longest backoff that there is. Without `after` it waits as its retry policy says.
    """

    def __init__(self, message: str = "The handler asked for a retry.", *, after: float | None = None) -> None:
        super().__init__(message)
        if after is not None and math.isnan(after):
            raise ValueError("after must be a number of seconds")
        longest = MAX_AFTER.total_seconds()
        self.after = None if after is None else datetime.timedelta(seconds=min(max(after, 0.0), longest))


class Fail(Exception):
    """Raised by a handler to say "never": the task fails at once, whatever retries are left."""


@dataclasses.dataclass(slots=True)
class _Stop:
    """Set once, by the loop, and looked at by the handler, be it in a thread: no more than that needs no lock."""

    is_set: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """One run of a task, as its handler sees it."""

    task_id: int
    name: str
    queue: str
    task_data: dict[str, Any]
    execution_time: datetime.datetime
    """When this run was due: aware, in UTC, by the database's clock."""
    attempt: int
    """1 for the first run, and one more for each retry. An attempt that was handed back runs again."""
    max_retries: int
    version: int
    """Rises with every run: a fencing token for systems that can refuse what comes from an earlier run."""
    created_at: datetime.datetime
    """Together with task_id it names the task beyond this deployment, and stays the same over its retries."""
    concurrency_key: str | None = None
    """What its queue's limits per key count it under."""
    schedule_id: int | None = None
    """The schedule that made it."""
    nominal_time: datetime.datetime | None = None
    """The time by the schedule's rule that it stands for: what a report is about, however late it runs."""
    _stop: _Stop = dataclasses.field(default_factory=_Stop, repr=False, compare=False)

    @property
    def cancelled(self) -> bool:
        """True once the result is no longer wanted: the task was cancelled, timed out or handed back.

        A coroutine is cancelled by asyncio. A plain function cannot be: one that takes long looks here.
        """
        return self._stop.is_set


HandlerFunction = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Handler:
    """A registered function: the name of its tasks, how long a run may take, and how to call it."""

    name: str
    function: HandlerFunction
    timeout: datetime.timedelta | None
    max_timeout: datetime.timedelta | None
    parameters: dict[str, type[pydantic.BaseModel] | None]  # a model to validate into, or None for the Task
    retries: task.Retries | None = None
    """For tasks that give none. The server heeds it when it creates them, so that they show it."""

    @property
    def is_coroutine(self) -> bool:
        """Tells a coroutine, which runs on the loop, from a plain function, which runs in a thread."""
        return inspect.iscoroutinefunction(self.function)

    def limit(self, asked: datetime.timedelta | None) -> datetime.timedelta:
        """Returns how long a run of a task with this timeout, or with none, may take."""
        timeout = asked or self.timeout or DEFAULT_TIMEOUT
        return timeout if self.max_timeout is None else min(timeout, self.max_timeout)

    def arguments(self, run: Task) -> dict[str, Task | pydantic.BaseModel]:
        """Returns what to call the function with; raises Fail, saying why, if task_data does not fit its model."""
        found: dict[str, Task | pydantic.BaseModel] = {}
        for name, model in self.parameters.items():
            try:
                found[name] = run if model is None else validation.validate(model, run.task_data)
            except validation.Invalid as misfit:
                assert model is not None
                raise Fail(f"task_data does not fit {model.__name__}: {misfit}") from None
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
    """Makes a function or coroutine the handler of the tasks called `name`.

    It takes a `Task`, or a pydantic model into which task_data is validated, or both, told apart by their
    annotations, and returns a dict that JSON can hold, or None. `timeout`, in seconds, `max_retries` and `retry_policy`
    are for tasks that have none of their own; `max_timeout` ends the runs of tasks that have a longer one. The function
    itself stays as it is. Raises TypeError or ValueError for what cannot work.
    """
    if not isinstance(name, str):
        raise TypeError('a handler needs the name of its tasks: @handler("…")')
    longest, own = _span(name, "max_timeout", max_timeout), _span(name, "timeout", timeout)
    if own is not None and longest is not None and own > longest:
        raise ValueError(f'the timeout of "{name}" must not be above its max_timeout of {max_timeout:g} s')
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
        raise ValueError(f'the {limit} of "{name}" must be above 0 and finite, not {seconds!r}')
    return datetime.timedelta(seconds=seconds)


def built_in(spec: builtin.Spec) -> Callable[[Decorated], Decorated]:
    """Makes a function the handler that the spec describes."""
    return handler(spec.name, timeout=spec.timeout.total_seconds(), max_timeout=spec.max_timeout.total_seconds())


def registered(function: object) -> Handler | None:
    """Returns the handler that `function` was made, if it was."""
    # Looking statically: a proxy in a user's module may do anything when it is asked for an attribute.
    found = inspect.getattr_static(function, _ATTRIBUTE, None)
    return found if isinstance(found, Handler) else None


def _retries(name: str, max_retries: int | None, policy: task.RetryPolicy | None) -> task.Retries | None:
    if max_retries is None and policy is None:
        return None
    retries = task.Retries(
        task.DEFAULT_MAX_RETRIES if max_retries is None else max_retries, policy or task.RetryPolicy()
    )
    for problem in retries.problems():
        raise ValueError(f'the retries of "{name}": {problem}')
    return retries


def _parameters(function: HandlerFunction) -> dict[str, type[pydantic.BaseModel] | None]:
    parameters: dict[str, type[pydantic.BaseModel] | None] = {}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        annotation = parameter.annotation
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"handler {function.__qualname__}: parameter {name!r} must be one that has a name")
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
