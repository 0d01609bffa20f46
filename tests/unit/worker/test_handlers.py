import datetime
from collections.abc import Callable
from typing import Any, Self

import pydantic
import pytest

from duetime_core.model import task
from duetime_core.model.task import RetryPolicy
from duetime_worker import handlers
from tests.support import runs


class Order(pydantic.BaseModel):
    product: str
    amount: int = 1

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        if self.product == "nothing":
            raise ValueError("there is nothing to order")
        return self


def test_a_decorated_function_is_unchanged() -> None:
    @handlers.handler("Double")
    def double(run: handlers.Task) -> dict[str, Any]:
        return {"twice": run.task_data["value"] * 2}

    assert double(runs.of(task_data={"value": 2})) == {"twice": 4}
    registered = handlers.registered(double)
    assert registered is not None
    assert (registered.name, registered.timeout, registered.is_coroutine) == ("Double", None, False)


@pytest.mark.parametrize(
    ("timeout", "max_timeout", "requested", "limit"),
    [
        (None, None, None, 3600),
        (None, None, 604800, 604800),
        (30, None, None, 30),
        (30, None, 604800, 604800),
        (30, 60, None, 30),
        (30, 60, 45, 45),
        (30, 60, 604800, 60),
        (None, 60, None, 60),
        (None, 7200, None, 3600),
    ],
)
def test_the_timeout_of_a_run_is_its_tasks_up_to_its_handlers_max_timeout(
    timeout: float | None, max_timeout: float | None, requested: float | None, limit: float
) -> None:
    registered = handlers.registered(handlers.handler("a name", timeout=timeout, max_timeout=max_timeout)(_nothing))
    assert registered is not None
    given = None if requested is None else datetime.timedelta(seconds=requested)
    assert registered.limit(given) == datetime.timedelta(seconds=limit)


@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"timeout": 0}, 'handler "a name": timeout must be a finite number of seconds above 0, not 0'),
        ({"timeout": float("nan")}, 'handler "a name": timeout must be a finite number of seconds above 0, not nan'),
        ({"timeout": 1e300}, 'handler "a name": timeout must be a finite number of seconds above 0, not 1e\\+300'),
        ({"timeout": float("inf")}, 'handler "a name": timeout must be a finite number of seconds above 0, not inf'),
        ({"max_timeout": -1}, 'handler "a name": max_timeout must be a finite number of seconds above 0, not -1'),
        (
            {"timeout": 61, "max_timeout": 60},
            'handler "a name": timeout must be at most max_timeout, which is 60 s, not 61 s',
        ),
    ],
)
def test_invalid_timeouts_are_refused_by_the_decorator(limits: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        handlers.handler("a name", **limits)


def _task(run: handlers.Task) -> None: ...


def _model(ordered: Order) -> None: ...


def _both(run: handlers.Task, ordered: Order) -> None: ...


def _nothing() -> None: ...


def _unannotated(run) -> None: ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (_task, {"run": None}),
        (_model, {"ordered": Order}),
        (_both, {"run": None, "ordered": Order}),
        (_nothing, {}),
        (_unannotated, {"run": None}),
    ],
)
def test_parameters_are_distinguished_by_their_annotations(
    function: Callable[..., Any], expected: dict[str, Any]
) -> None:
    handlers.handler("a name")(function)
    registered = handlers.registered(function)
    assert registered is not None
    assert registered.parameters == expected


def _other(run: handlers.Task, amount: int) -> None: ...


def _second_unannotated(run: handlers.Task, amount) -> None: ...  # type: ignore[no-untyped-def]


def _later(amount: "dict[str, int]") -> None: ...


@pytest.mark.parametrize("function", [_other, _second_unannotated, _later])
def test_an_unsupported_parameter_is_refused_by_the_decorator(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="parameter 'amount' must be annotated with Task or with a pydantic model"):
        handlers.handler("Wrong")(function)


def _positional(run: handlers.Task, /) -> None: ...


def _many(*run: handlers.Task) -> None: ...


def _more(**run: handlers.Task) -> None: ...


@pytest.mark.parametrize("function", [_positional, _many, _more])
def test_a_parameter_that_has_no_keyword_is_refused_by_the_decorator(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"handler _\w+: parameter 'run' cannot be passed by keyword"):
        handlers.handler("Wrong")(function)


def test_an_annotation_may_be_a_string() -> None:
    def quoted(run: "handlers.Task") -> None: ...

    handlers.handler("Quoted")(quoted)
    registered = handlers.registered(quoted)
    assert registered is not None
    assert registered.parameters == {"run": None}


def test_a_decorator_without_a_name_explains_how_to_give_one() -> None:
    with pytest.raises(TypeError, match="@handler needs the name of its tasks"):
        handlers.handler(_nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [0, -1])
def test_an_invalid_timeout_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match='handler "Hasty": timeout must be a finite number of seconds above 0'):
        handlers.handler("Hasty", timeout=timeout)


def test_a_handler_has_its_timeout_and_kind() -> None:
    @handlers.handler("Patient", timeout=1.5)
    async def patient() -> None: ...

    registered = handlers.registered(patient)
    assert registered is not None
    assert registered.timeout == datetime.timedelta(seconds=1.5)
    assert registered.is_coroutine


def test_task_data_is_validated_into_the_model() -> None:
    handlers.handler("Order")(_both)
    registered = handlers.registered(_both)
    assert registered is not None
    run = runs.of(task_data={"product": "tea"})
    assert registered.arguments(run) == {"run": run, "ordered": Order(product="tea")}


@pytest.mark.parametrize(
    ("task_data", "problem"),
    [
        ({}, "product: is required"),
        ({"product": "tea", "amount": "many"}, "amount: must be a whole number, not 'many'"),
        ({"product": "nothing"}, "there is nothing to order"),
    ],
)
def test_invalid_task_data_is_named(task_data: dict[str, Any], problem: str) -> None:
    handlers.handler("Order")(_model)
    registered = handlers.registered(_model)
    assert registered is not None
    with pytest.raises(handlers.Fail, match=f"^task_data does not fit Order: {problem}"):
        registered.arguments(runs.of(task_data=task_data))


@pytest.mark.parametrize(
    ("after", "seconds"), [(None, None), (0.5, 0.5), (-1, 0), (3e11, 2592000), (float("inf"), 2592000)]
)
def test_after_is_capped_to_thirty_days(after: float | None, seconds: float | None) -> None:
    waits = handlers.Retry(after=after).after
    assert (None if waits is None else waits.total_seconds()) == seconds


def test_after_is_a_number() -> None:
    with pytest.raises(ValueError, match="after must be a number of seconds"):
        handlers.Retry(after=float("nan"))


def test_a_handler_may_have_retry_defaults() -> None:
    policy = RetryPolicy(datetime.timedelta(minutes=1), max_backoff=datetime.timedelta(hours=2))
    registered = handlers.registered(handlers.handler("Patient", max_retries=9, retry_policy=policy)(_nothing))
    assert registered is not None
    assert registered.retries == task.Retries(9, policy)
    registered = handlers.registered(handlers.handler("Patient", retry_policy=policy)(_nothing))
    assert registered is not None
    assert registered.retries == task.Retries(3, policy)


@pytest.mark.parametrize(
    ("retries", "problem"),
    [
        ({"max_retries": -1}, "max_retries must be from 0 to 1000"),
        ({"max_retries": 1001}, "max_retries must be from 0 to 1000"),
        ({"retry_policy": RetryPolicy(datetime.timedelta(days=31), datetime.timedelta(days=32))}, "to 30 days"),
        ({"retry_policy": RetryPolicy(datetime.timedelta(hours=2))}, "the first not the longer"),
        ({"retry_policy": RetryPolicy(multiplier=0.5)}, "multiplier must be from 1 to 100"),
        ({"retry_policy": RetryPolicy(jitter=1.5)}, "jitter must be from 0 to 1"),
    ],
)
def test_invalid_retry_defaults_are_refused(retries: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f'handler "Impatient": .*{problem}'):
        handlers.handler("Impatient", **retries)
