from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from duetime_worker import handlers, registry
from tests import runs


class Order(pydantic.BaseModel):
    product: str
    amount: int = 1


def test_a_handler_stays_the_function_that_it_was() -> None:
    @handlers.handler("Double")
    def double(run: handlers.Task) -> dict[str, Any]:
        return {"twice": run.task_data["value"] * 2}

    assert double(runs.of(task_data={"value": 2})) == {"twice": 4}
    registered = handlers.registered(double)
    assert registered is not None
    assert (registered.name, registered.timeout, registered.is_coroutine) == ("Double", None, False)


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
def test_parameters_are_told_apart_by_their_annotations(function: Callable[..., Any], expected: dict[str, Any]) -> None:
    handlers.handler("a name")(function)
    registered = handlers.registered(function)
    assert registered is not None
    assert registered.parameters == expected


def test_a_parameter_that_cannot_be_given_is_refused_where_the_handler_is_written() -> None:
    def wrong(run: handlers.Task, amount: int) -> None: ...

    with pytest.raises(TypeError, match="parameter 'amount' must be annotated with Task or with a pydantic model"):
        handlers.handler("Wrong")(wrong)


def test_task_data_becomes_the_model() -> None:
    handlers.handler("Order")(_both)
    registered = handlers.registered(_both)
    assert registered is not None
    run = runs.of(task_data={"product": "tea"})
    assert registered.arguments(run) == {"run": run, "ordered": Order(product="tea")}


def test_task_data_that_does_not_fit_says_what_is_wrong() -> None:
    handlers.handler("Order")(_model)
    registered = handlers.registered(_model)
    assert registered is not None
    with pytest.raises(handlers.Fail, match="task_data does not fit Order: product: Field required"):
        registered.arguments(runs.of(task_data={}))


@pytest.mark.parametrize(
    ("after", "seconds"), [(None, None), (0.5, 0.5), (-1, 0), (3e11, 2592000), (float("inf"), 2592000)]
)
def test_later_is_at_most_in_thirty_days(after: float | None, seconds: float | None) -> None:
    waits = handlers.Retry(after=after).after
    assert (None if waits is None else waits.total_seconds()) == seconds


def test_later_is_a_number() -> None:
    with pytest.raises(ValueError, match="after must be a number of seconds"):
        handlers.Retry(after=float("nan"))


def test_every_worker_has_the_built_in_handlers() -> None:
    assert registry.load([]).keys() == {"Send Email", "Call Webhook"}


def test_a_users_handler_takes_the_place_of_a_built_in_one() -> None:
    found = registry.load(["tests.unit.handler_modules.own_email"])
    assert found["Send Email"].function.__module__ == "tests.unit.handler_modules.own_email"


def test_a_handler_that_is_imported_into_another_module_counts_once() -> None:
    modules = ["tests.unit.handler_modules.own_email", "tests.unit.handler_modules.imports_own_email"]
    assert registry.load(modules).keys() == {"Send Email", "Call Webhook"}


def test_two_handlers_of_one_name_are_refused_naming_both() -> None:
    modules = ["tests.unit.handler_modules.own_email", "tests.unit.handler_modules.second_email"]
    with pytest.raises(ValueError, match=r"own_email\.send.* and .*second_email\.send_too"):
        registry.load(modules)


def test_a_module_that_is_not_there_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        registry.load(["no_such_module"])
