"""Gathering what is wrong with a request, so that a caller hears of all of it at once."""

import contextlib
from collections.abc import Iterator

from duetime_core import errors

_MOST_BYTES = 1500
"""All of them together. They travel in the trailers, once as text and once in base64, of which gRPC's clients take
8 KiB; and trailers that are far too large make Envoy end its connection to the server, with everybody's calls."""
_MOST_CHARACTERS = 100
"""What is quoted of a caller's text."""


class Violations:
    """The wrong fields of one request. Paths are given relative to `prefix`, such as `requests[3].`."""

    def __init__(self) -> None:
        self.prefix = ""
        self._found: dict[errors.Violation, None] = {}  # in order

    def add(self, field: str, description: str) -> None:
        """Notes a wrong field and what would be right."""
        self._found[errors.Violation(shortened(self.prefix + field), description)] = None

    @property
    def are_any(self) -> bool:
        """Whether anything was noted."""
        return bool(self._found)

    @contextlib.contextmanager
    def within(self, path: str) -> Iterator[None]:
        """Puts `path` before the fields that the block notes."""
        before, self.prefix = self.prefix, self.prefix + path
        try:
            yield
        finally:
            self.prefix = before

    def check(self) -> None:
        """Raises InvalidArgument if anything was noted, with as much of it as an answer has room for."""
        room = _MOST_BYTES
        told: list[errors.Violation] = []
        for violation in self._found:
            room -= len(f"{violation.field}{violation.description}".encode())
            if room < 0 and told:
                break
            told.append(violation)
        if told:
            raise errors.InvalidArgument(*told)


def refuse(field: str, description: str) -> errors.InvalidArgument:
    """Returns the error for one wrong field."""
    return errors.InvalidArgument(errors.Violation(field, description))


def shortened(text: str) -> str:
    """Returns a caller's text as an error may quote it: its beginning."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
