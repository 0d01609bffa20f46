"""What task_data and results must be: JSON objects that PostgreSQL's JSONB and protobuf can both hold."""

import json
import math
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
"""Levels of objects and lists. Each costs protobuf up to three messages, and its parsers stop at 100."""
MAX_EXACT_INTEGER = 2**53 - 1
"""Beyond it a JSON number, which is a double in protobuf and in browsers, may be another integer than was sent."""


class PayloadError(ValueError):
    """The value at `path`, such as `.order.items[2]`, cannot be kept as it is; `problem` says what would be right."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def encode(value: dict[str, Any]) -> str:
    """Returns `value` as JSON text; raises PayloadError if it cannot be stored and returned exactly."""
    _check(value, "", 1)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES:
        raise PayloadError("", f"must be at most {MAX_BYTES // 1024} KiB as JSON")
    return text


def _check(value: object, path: str, depth: int) -> None:
    match value:
        case None | bool():
            pass
        case str():
            _check_text(value, path)
        case int() if abs(value) > MAX_EXACT_INTEGER:
            raise PayloadError(path, "is beyond what a JSON number holds exactly (±9007199254740991); send a string")
        case float() if not math.isfinite(value):
            raise PayloadError(path, "must be a finite number")
        case int() | float():
            pass
        case dict() | list() | tuple() if depth > MAX_DEPTH:
            raise PayloadError("", f"must be nested at most {MAX_DEPTH} levels deep")
        case dict():
            for key, member in value.items():
                if not isinstance(key, str):
                    raise PayloadError(path, f"has the key {key!r}; keys must be strings")
                _check_text(key, path)
                _check(member, f"{path}.{key}", depth + 1)
        case list() | tuple():
            for index, member in enumerate(value):
                _check(member, f"{path}[{index}]", depth + 1)
        case _:
            raise PayloadError(path, f"is a {type(value).__name__}, which JSON does not have")


def _check_text(text: str, path: str) -> None:
    if "\0" in text:
        raise PayloadError(path, "must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PayloadError(path, "must be valid Unicode, without lone surrogates") from None
