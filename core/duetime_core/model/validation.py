"""Validating task_data with a model, with errors in plain words."""

import difflib
import itertools
import re
from collections.abc import Mapping
from typing import TypeVar

import pydantic
import pydantic_core

from duetime_core.model import quoting

_OURS = re.compile(r"\(\w+\)|\[key\]")
"""Parts of a pydantic path that are not in task_data: the member of a union, and the mark of an object's key."""
MOST = 20
"""How many problems are reported: there may be thousands, and describing each takes time."""
_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
Model = TypeVar("Model", bound=pydantic.BaseModel)
_URL = "must be a URL such as https://example.com/path"
"""Without the given value, which may be a secret."""
_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "{expected}",
    "datetime_type": "a time such as 2027-01-01T09:00:00Z",
    "datetime_parsing": "a time such as 2027-01-01T09:00:00Z",
    "datetime_from_date_parsing": "a time such as 2027-01-01T09:00:00Z",
    "timezone_aware": "a time with its offset, such as 2027-01-01T09:00:00Z",
}
"""Type of pydantic's error → what would be valid."""
_BOUNDS = {
    "url_type": _URL,
    "url_parsing": _URL,
    "url_syntax_violation": _URL,
    "url_scheme": _URL,
    "too_short": "must have at least {min_length} items; it has {actual_length}",
    "too_long": "must have at most {max_length} items; it has {actual_length}",
    "string_too_short": "must be at least {min_length} characters long",
    "string_too_long": "must be at most {max_length} characters long; it has {actual_length}",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}


class Unknown(str):
    """Stands for a text that is not known yet, such as a secret's: `check` reports no problem with it."""

    __slots__ = ()


class Invalid(ValueError):
    """The value is invalid. `problems` are the first invalid paths, such as `email[3]`, each with its description."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {problem}" if path else problem for path, problem in problems))
        self.problems = problems


def validate(model: type[Model], task_data: object) -> Model:
    """Returns the model of that task_data. Raises Invalid."""
    _check_names(model, task_data)
    try:
        return model.model_validate(task_data)
    except pydantic.ValidationError as error:
        raise Invalid(_problems(error.errors(include_url=False), model)) from None


def check(model: type[pydantic.BaseModel], task_data: object) -> None:
    """Raises Invalid for that task_data, but not for values in it that are Unknown."""
    _check_names(model, task_data)
    try:
        model.model_validate(task_data)
    except pydantic.ValidationError as error:
        found = [each for each in error.errors(include_url=False) if not isinstance(each["input"], Unknown)]
        if found:
            raise Invalid(_problems(found, model)) from None


def _check_names(model: type[pydantic.BaseModel], task_data: object) -> None:
    if model.model_config.get("extra") == "forbid" and isinstance(task_data, dict):
        # First, because there may be many thousands, and pydantic would make an error for each.
        known = set(_names(model))
        unknown = list(itertools.islice((name for name in task_data if name not in known), MOST + 1))
        if len(unknown) > MOST:
            raise Invalid([(name, _unknown((name,), model)) for name in unknown[:MOST]])


def _problems(found: list[pydantic_core.ErrorDetails], model: type[pydantic.BaseModel]) -> list[tuple[str, str]]:
    return [(_path(problem["loc"]), _description(problem, model)) for problem in found[:MOST]]


def at_most(most: int) -> pydantic.BeforeValidator:
    """Returns a validator that refuses a list or an object with more items before it validates any."""

    def check(value: object) -> object:
        if isinstance(value, list | dict) and len(value) > most:
            raise ValueError(f"must have at most {most} items; it has {len(value)}")
        return value

    return pydantic.BeforeValidator(check)


def _names(model: type[pydantic.BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _path(location: tuple[int | str, ...]) -> str:
    parts = [
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if not _OURS.fullmatch(str(part))
    ]
    return "".join(parts).removeprefix(".")


def _description(problem: pydantic_core.ErrorDetails, model: type[pydantic.BaseModel]) -> str:
    kind, context, given = problem["type"], dict(problem.get("ctx", {})), problem["input"]
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return _unknown(problem["loc"], model)
    if kind == "value_error":
        return str(context["error"])
    if wanted := _WANTED.get(kind):
        return f"must be {wanted.format_map(context)}, not {_shown(given)}"
    if bound := _BOUNDS.get(kind):
        if isinstance(given, str | list | dict):
            context["actual_length"] = len(given)
        return bound.format_map(context)
    return problem["msg"]


def _unknown(location: tuple[int | str, ...], model: type[pydantic.BaseModel]) -> str:
    if len(location) > 1:
        return "is not known here"
    known = _names(model)
    near = difflib.get_close_matches(quoting.shortened(str(location[0])), known, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    return f"is not known; known are {', '.join(known)}{meant}"


def _shown(given: object) -> str:
    if given is None:
        return "null"
    if isinstance(given, str | int | float) and not isinstance(given, bool):
        return quoting.shortened(repr(given))
    return "an object" if isinstance(given, Mapping) else _KINDS.get(type(given), type(given).__name__)
