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

    def prepare(self) -> None:
        """Does now what the first text would have to wait for."""
        _ = self._wholes, self._lengths, self._parts

    @functools.cached_property
    def _wholes(self) -> dict[str, str]:
        """Short forms with their labels."""
        return {form: label for value, label in self._values for form in _forms(value) if len(form) < _PART}

    @functools.cached_property
    def _lengths(self) -> list[int]:
        """Those of short forms; the longest first, because it may contain others."""
        return sorted({len(form) for form in self._wholes}, reverse=True)

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
        if parts.keys().isdisjoint(text[start : start + _PART] for start in range(len(text) - _PART + 1)):
            return self._without_wholes(text)
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
        wholes = self._wholes
        # Few values are found fastest one by one. Of thousands, the text is the smaller number.
        if len(wholes) < len(text) and not any(whole in text for whole in wholes):
            return text
        lengths = self._lengths
        pieces: list[str] = []
        kept = position = 0
        while position < len(text):
            for length in lengths:
                whole = text[position : position + length]
                if whole in wholes:
                    pieces += (text[kept:position], wholes[whole])
                    kept = position = position + len(whole)
                    break
            else:
                position += 1
        pieces.append(text[kept:])
        return "".join(pieces)

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


class Withheld:
    """Replaces each text as a whole, whatever it has: finding the values in it would take too long."""

    def __init__(self, label: str) -> None:
        self._label = label

    def text(self, text: str) -> str:
        """Returns the label."""
        return self._label if text else text


class Hidden(NamedTuple):
    """What must not be seen of a run."""

    texts: Redactor | Withheld
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


def withholds_texts() -> bool:
    """Returns whether all texts of this run are replaced as a whole."""
    hidden = _of_this_run.get()
    return hidden is not None and isinstance(hidden.texts, Withheld)


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
        urllib.parse.quote(value, errors="surrogatepass"),
        urllib.parse.quote(value, safe="", errors="surrogatepass"),
        urllib.parse.quote_plus(value, errors="surrogatepass"),
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
