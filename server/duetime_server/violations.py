"""Gathering what is wrong with a request, so that a caller hears of all of it at once."""

from duetime_core import errors

_MOST = 20
"""They travel in HTTP/2 headers, which are limited; nobody reads more."""


class Violations:
    """The wrong fields of one request. Paths are given relative to `prefix`, such as `requests[3].`."""

    def __init__(self) -> None:
        self.prefix = ""
        self._found: list[errors.Violation] = []

    def add(self, field: str, description: str) -> None:
        """Notes a wrong field and what would be right."""
        self._found.append(errors.Violation(self.prefix + field, description))

    def check(self) -> None:
        """Raises InvalidArgument if anything was noted."""
        if self._found:
            raise errors.InvalidArgument(*self._found[:_MOST])


def refuse(field: str, description: str) -> errors.InvalidArgument:
    """Returns the error for one wrong field."""
    return errors.InvalidArgument(errors.Violation(field, description))
