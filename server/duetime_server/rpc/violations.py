"""Gathering what is wrong with a request, so that a caller hears of all of it at once."""

import contextlib
from collections.abc import Iterator

from duetime_core.model import errors, quoting

_MOST_BYTES = 4096
"""All of them together, as they travel: in the trailers, of which gRPC's clients take 8 KiB; and trailers that are far
too large make Envoy end its connection to the server, with everybody's calls."""
_MOST_KEPT = 100
"""Of a request with thousands of wrong fields. The others are counted."""


class Violations:
    """The wrong fields of one request. Paths are given relative to `prefix`, such as `requests[3].`."""

    def __init__(self) -> None:
        self.prefix = ""
        self._found: dict[errors.Violation, None] = {}  # in order
        self._uncounted = 0

    def add(self, field: str, description: str) -> None:
        """Notes a wrong field and what would be right. Both may quote the caller: they are shortened here."""
        if len(self._found) < _MOST_KEPT:
            self._found[_violation(self.prefix + field, description)] = None
        else:
            self._uncounted += 1

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
        if not self._found:
            return
        room = _MOST_BYTES
        told: list[errors.Violation] = []
        for violation in self._found:
            room -= _size(violation)
            if room < 0 and told:
                break
            told.append(violation)
        raise errors.InvalidArgument(*told, more=len(self._found) - len(told) + self._uncounted)


def refuse(field: str, description: str) -> errors.InvalidArgument:
    """Returns the error for one wrong field. Both may quote the caller: they are shortened here."""
    return errors.InvalidArgument(_violation(field, description))


def _violation(field: str, description: str) -> errors.Violation:
    shown = quoting.shortened(quoting.escaped(quoting.shortened(field)))
    return errors.Violation(shown, quoting.sentence(description))


def _size(violation: errors.Violation) -> int:
    """Returns the bytes that it takes in the trailers: as text, percent-encoded, and twice in base64."""
    text = f"{violation.field}: {violation.description}; "
    size = len(text.encode())
    return (size if text.isascii() else 3 * size) + (2 * size + 40) * 4 // 3
