"""Replaces what must not be seen, such as secrets, in the errors, results and log lines of a run."""

import base64
import contextvars
import functools
import html
import json
import urllib.parse
from collections.abc import Iterable
from typing import Any, NamedTuple

_PART = 10
"""Of a longer value, each part of so many characters is replaced too: errors and results quote values shortened."""


class Redactor:
    """Replaces values by their labels, also as JSON, Python, HTML, URLs and base64 write them."""

    def __init__(self, values: Iterable[tuple[str, str]]) -> None:
        """Takes values with their labels, such as `[secret smtp/password]`."""
        self._values = [(value, label) for value, label in values if value]

    @functools.cached_property
    def _wholes(self) -> list[tuple[str, str]]:
        """Short forms with their labels; the longest first, because it may contain others."""
        forms = {form: label for value, label in self._values for form in _forms(value) if len(form) < _PART}
        return sorted(forms.items(), key=lambda item: -len(item[0]))

    @functools.cached_property
    def _parts(self) -> dict[str, str]:
        return {
            form[start : start + _PART]: label
            for value, label in self._values
            for form in _forms(value)
            for start in range(len(form) - _PART + 1)
        }

    def text(self, text: str) -> str:
        """Returns the text without the values."""
        parts = self._parts
        pieces: list[str] = []
        kept = position = 0
        while position + _PART <= len(text):
            label = parts.get(text[position : position + _PART])
            if label is None:
                position += 1
                continue
            pieces += (text[kept:position], label)
            while text[position : position + _PART] in parts:
                position += 1
            kept = position = position + _PART - 1
        pieces.append(text[kept:])
        # Not in the labels, of which a short value may be a part.
        return "".join(piece if number % 2 else self._without_wholes(piece) for number, piece in enumerate(pieces))

    def _without_wholes(self, text: str) -> str:
        for whole, label in self._wholes:
            text = text.replace(whole, label)
        return text

    def value(self, value: Any) -> Any:
        """Returns a JSON value without the values: in texts, in the names of members, and as numbers."""
        match value:
            case None | bool():
                return value
            case str():
                return self.text(value)
            case int() | float():
                shown = self.text(str(value))
                return value if shown == str(value) else shown
            case dict():
                return self.members(value)
            case _:
                return [self.value(member) for member in value]

    def members(self, members: dict[str, Any]) -> dict[str, Any]:
        """Returns a JSON object without the values."""
        return {self.text(name): self.value(member) for name, member in members.items()}


class Hidden(NamedTuple):
    """What must not be seen of a run."""

    texts: Redactor
    """For its errors and log lines."""
    results: Redactor
    """For its result, which may be encrypted."""


_of_this_run: contextvars.ContextVar[Hidden | None] = contextvars.ContextVar("hidden", default=None)


def begin(hidden: Hidden) -> None:
    """Has the texts and results of this run redacted: in this context, and in the threads and tasks that it begins."""
    _of_this_run.set(hidden)


def end() -> None:
    """Ends that in this context, in which another run may follow."""
    if _of_this_run.get() is not None:
        _of_this_run.set(None)


def text(given: str) -> str:
    """Returns a text of this run, such as an error or a log line, without what must not be seen."""
    hidden = _of_this_run.get()
    return given if hidden is None else hidden.texts.text(given)


def result(given: dict[str, Any]) -> dict[str, Any]:
    """Returns a result of this run, of JSON values alone, without what must not be seen."""
    hidden = _of_this_run.get()
    return given if hidden is None else hidden.results.members(given)


def _forms(value: str) -> set[str]:
    """Returns the ways to write a value."""
    json_text = json.dumps(value)[1:-1]
    forms = {
        value,
        json_text,
        json.dumps(value, ensure_ascii=False)[1:-1],
        json_text.replace("/", "\\/"),
        repr(str(value))[1:-1],
        html.escape(value),
        urllib.parse.quote(value),
        urllib.parse.quote(value, safe=""),
        urllib.parse.quote_plus(value),
    }
    for shift in range(3):
        encoded = _base64(value.encode(errors="surrogatepass"), shift)
        forms |= {encoded, encoded.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= min(len(value), _PART)}


def _base64(value: bytes, shift: int) -> str:
    """Returns the characters that a value gives in base64 behind `shift` other bytes, whatever these and others are."""
    encoded = base64.b64encode(b"\0" * shift + value).decode()
    first = (0, 2, 3)[shift]
    last = (shift + len(value)) * 8 // 6  # of which all bits are the value's
    return encoded[first:last]
