"""Collects the invalid fields of a request, so that one error names them all."""

import contextlib
from collections.abc import Iterator

from duetime_core.model import errors, quoting

_MAX_BYTES = 4096
"""Of all violations in the trailers, of which gRPC's clients accept 8 KiB. Trailers that are far too large make Envoy
close its connection to the server, with the calls of all callers."""
_MAX_KEPT = 100
"""Of a request with thousands of invalid fields; the others are only counted."""


class Violations:
    """The invalid fields of one request. Their paths are relative to `prefix`, such as `requests[3].`."""

    def __init__(self) -> None:
        self.prefix = ""
        self._found: dict[errors.Violation, None] = {}  # in order
        self._uncounted = 0

    def add(self, field: str, description: str) -> None:
        """Adds an invalid field and what would be right. Both may quote the caller: they are shortened here."""
        if len(self._found) < _MAX_KEPT:
            self._found[_violation(self.prefix + field, description)] = None
        else:
            self._uncounted += 1

    @property
    def are_any(self) -> bool:
        """Whether any was added."""
        return bool(self._found)

    @contextlib.contextmanager
    def within(self, path: str) -> Iterator[None]:
        """Prefixes the fields that the block adds with `path`."""
        before, self.prefix = self.prefix, self.prefix + path
        try:
            yield
        finally:
            self.prefix = before

    def check(self) -> None:
        """Raises InvalidArgument if any was added, with as many as fit into a response."""
        if not self._found:
            return
        room = _MAX_BYTES
        included: list[errors.Violation] = []
        for violation in self._found:
            room -= _size(violation)
            if room < 0 and included:
                break
            included.append(violation)
        raise errors.InvalidArgument(*included, more=len(self._found) - len(included) + self._uncounted)


def refuse(field: str, description: str) -> errors.InvalidArgument:
    """Returns the error for one invalid field. Both may quote the caller: they are shortened here."""
    return errors.InvalidArgument(_violation(field, description))


def _violation(field: str, description: str) -> errors.Violation:
    shown = quoting.shortened(quoting.escaped(quoting.shortened(field)))
    return errors.Violation(shown, quoting.sentence(description))


def _size(violation: errors.Violation) -> int:
    """Returns its bytes in the trailers: as text, percent-encoded, and twice in base64."""
    text = f"{violation.field}: {violation.description}; "
    size = len(text.encode())
    return (size if text.isascii() else 3 * size) + (2 * size + 40) * 4 // 3
