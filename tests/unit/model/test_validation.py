"""Errors in task_data are in plain words, and name the field."""

import datetime
import time
from typing import Any, Literal

import pydantic
import pytest

from duetime_core.model import builtin, validation


class Line(pydantic.BaseModel, extra="forbid"):
    product: str
    amount: int = 1


class Order(pydantic.BaseModel, extra="forbid"):
    lines: list[Line] = pydantic.Field([], max_length=2)
    how: Literal["now", "later"] = "now"
    note: str = pydantic.Field("", max_length=10)
    paid: bool = False
    due: datetime.datetime | None = None


def found(model: type[pydantic.BaseModel], value: object) -> dict[str, str]:
    with pytest.raises(validation.Invalid) as refused:
        validation.validate(model, value)
    return dict(refused.value.problems)


@pytest.mark.parametrize(
    ("value", "path", "problem"),
    [
        ({"lines": [{"amount": 2}]}, "lines[0].product", "is required"),
        ({"lines": [{"product": "a"}, {"product": 7}]}, "lines[1].product", "must be text, not 7"),
        ({"lines": [{"product": "a", "amount": "many"}]}, "lines[0].amount", "must be a whole number, not 'many'"),
        ({"lines": [{"product": "a", "amount": 1.5}]}, "lines[0].amount", "must be a whole number, not 1.5"),
        ({"lines": [{"product": "a", "colour": 1}]}, "lines[0].colour", "is not known here"),
        ({"lines": "a"}, "lines", "must be a list, not 'a'"),
        ({"lines": [1]}, "lines[0]", "must be an object, not 1"),
        ({"lines": [{"product": "a"}] * 3}, "lines", "must have at most 2 items; it has 3"),
        ({"how": "soon"}, "how", "must be 'now' or 'later', not 'soon'"),
        ({"how": "x" * 999}, "how", f"must be 'now' or 'later', not '{'x' * 98}…"),
        ({"note": "12345678901"}, "note", "must be at most 10 characters long; it has 11"),
        ({"paid": {}}, "paid", "must be true or false, not an object"),
        ({"due": "soon"}, "due", "must be a time such as 2027-01-01T09:00:00Z, not 'soon'"),
        ({"Note": "a"}, "Note", "is not known; known are lines, how, note, paid, due; did you mean 'note'?"),
        ([], "", "must be an object, not a list"),
    ],
)
def test_an_invalid_value_is_described_in_plain_words(value: object, path: str, problem: str) -> None:
    assert found(Order, value) == {path: problem}


_ODD: list[Any] = [None, True, 0, -1, 1.5, "", "x", "x" * 2000, "\r\n", [], [[]], [None], {}, {"": {}}, {"a": "b"}, "é"]


@pytest.mark.parametrize("name", builtin.SPECS)
def test_no_error_of_a_built_in_handler_names_the_library_that_found_it(name: str) -> None:
    model = builtin.SPECS[name].model
    fields = [field.alias or name for name, field in model.model_fields.items()]
    for field in [*fields, "unknown"]:
        for odd in _ODD:
            try:
                validation.validate(model, {field: odd})
            except validation.Invalid as misfit:
                for path, problem in misfit.problems:
                    assert path.partition("[")[0].partition(".")[0] in {*fields, "unknown"}
                    for jargon in ("Input", "input", "Value error", "Field required", "literal[", "pydantic", "str_"):
                        assert jargon not in f"{path}: {problem}", (field, odd)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Send Email", {str(number): 1 for number in range(25_000)}),
        ("Send Email", {"e" * 250_000: 1}),
        ("Send Email", {"email": ["x"] * 60_000}),
        ("Send Email", {"email": "x" * 250_000}),
        ("Send Email", {"email": f"a@{'b.' * 120_000}c"}),
        ("Send Email", {"email": f"{'(' * 120_000}a@example.com"}),
        ("Send Email", {"email": [f"{' ' * 900}{'<' * 60}"] * 100}),
        ("Send Email", {"email": [f"{'a.' * 400}@{'é.' * 80}x"] * 100}),
        ("Send Email", {"email": "a@b.de", "attachments": [{}] * 20_000}),
        ("Call Webhook", {"url": "https://example.com", "headers": {f"k {number}": "x" for number in range(20_000)}}),
        ("Generate Report", {"email": ["x"] * 60_000, "title": "x" * 9999}),
    ],
)
def test_a_large_invalid_value_is_found_without_reading_all_of_it(name: str, wrong: dict[str, Any]) -> None:
    began = time.process_time()
    with pytest.raises(validation.Invalid) as refused:
        validation.validate(builtin.SPECS[name].model, wrong)
    assert len(refused.value.problems) <= validation.MOST
    assert time.process_time() - began < 0.1
