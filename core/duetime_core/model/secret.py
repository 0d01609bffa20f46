"""References to secrets in task_data: `{"$secret": "smtp/password"}`, which the worker replaces by the value."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

KEY = "$secret"
MAX_REFERENCES = 20
"""In one task_data."""
MAX_CHARACTERS = 255
# No part begins with a dot, so none leads upwards or to the hidden directories in which Kubernetes keeps versions.
_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")

TOO_MANY = f"must have at most {MAX_REFERENCES} references to secrets"
IS_ALL = "must not be a reference to a secret as a whole; write it where the value belongs"
_NOT_ALONE = f'must have {KEY} alone, as in {{"{KEY}": "smtp/password"}}: it is a reference to a secret'
_NO_NAME = (
    f"must be the name of a secret, such as smtp/password: at most {MAX_CHARACTERS} letters, digits, '_', '-' and '.', "
    "in parts separated by '/', none of which begins with '.'"
)


class InvalidReference(ValueError):
    """The object at `path`, such as `.headers.Authorization`, is no valid reference; `problem` says what would be."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def is_name(text: str) -> bool:
    """Returns whether a secret can have that name."""
    return len(text) <= MAX_CHARACTERS and _NAME.fullmatch(text) is not None


def check(members: Mapping[str, object]) -> None:
    """Raises InvalidReference if an object that has KEY is no reference."""
    if len(members) > 1:
        raise InvalidReference("", _NOT_ALONE)
    name = members[KEY]
    if not isinstance(name, str) or not is_name(name):
        raise InvalidReference(f".{KEY}", _NO_NAME)


def are_in(value: dict[str, Any] | list[Any]) -> bool:
    """Returns whether a JSON object or list has references. Each run asks, so it costs little for small ones."""
    members: Iterable[Any] = value
    if isinstance(value, dict):
        if KEY in value:
            return True
        members = value.values()
    for member in members:
        kind = member.__class__
        if (kind is dict or kind is list) and are_in(member):
            return True
    return False


def replaced(task_data: dict[str, Any], find: Callable[[str], str]) -> dict[str, Any]:
    """Returns a copy in which each reference is what `find` returns for its name. Raises InvalidReference."""
    if KEY in task_data:
        raise InvalidReference("", IS_ALL)
    count = 0

    def counted(name: str) -> str:
        nonlocal count
        count += 1
        if count > MAX_REFERENCES:
            raise InvalidReference("", TOO_MANY)
        return find(name)

    return {name: _replaced(member, f".{name}", counted) for name, member in task_data.items()}


def _replaced(value: object, path: str, find: Callable[[str], str]) -> object:
    if isinstance(value, dict):
        if KEY not in value:
            return {name: _replaced(member, f"{path}.{name}", find) for name, member in value.items()}
        try:
            check(value)
        except InvalidReference as error:
            raise InvalidReference(path + error.path, error.problem) from None
        return find(value[KEY])
    if isinstance(value, list):
        return [_replaced(member, f"{path}[{index}]", find) for index, member in enumerate(value)]
    return value
