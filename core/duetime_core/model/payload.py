"""The payload format: task_data and results are JSON objects that both JSONB and protobuf can represent."""

import json
import math
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
"""Levels of objects and lists. Each costs protobuf up to three messages, and its parsers stop at 100."""
MAX_EXACT_INTEGER = 2**53 - 1
"""Larger integers may change, because a JSON number is a double in protobuf and in browsers."""

TOO_LARGE = f"must be at most {MAX_BYTES // 1024} KiB as JSON"
TOO_DEEP = f"must be nested at most {MAX_DEPTH} levels deep"
HAS_NUL = "must not contain the NUL character"
NOT_FINITE = "must be a finite number"


class PayloadError(ValueError):
    """The value at `path`, such as `.order.items[2]`, cannot be stored exactly; `problem` says what would be valid."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def encode(value: dict[str, Any]) -> str:
    """Returns `value` as JSON text; raises PayloadError if it cannot be stored and returned exactly."""
    _check(value, "", 1)
    return write(value)


def write(value: dict[str, Any]) -> str:
    """Returns `value`, already validated, as JSON text; raises PayloadError if that is too large."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES:
        raise PayloadError("", TOO_LARGE)
    return text


def decode(data: bytes | str) -> Any:
    """Returns what JSON text of PostgreSQL holds; an integer beyond what a double holds exactly is a float.

    JSONB writes the double 1e22 as 10000000000000000000000.
    """
    return _DECODER.raw_decode(data if isinstance(data, str) else data.decode())[0]


def number(value: float) -> int | float:
    """Returns a double as handlers receive it: an int if it is whole and represents that integer exactly."""
    return int(value) if value.is_integer() and abs(value) <= MAX_EXACT_INTEGER else value


def _integer(text: str) -> int | float:
    if len(text) < len(str(MAX_EXACT_INTEGER)):
        return int(text)
    return number(float(text))


_DECODER = json.JSONDecoder(parse_int=_integer)


def _check(value: object, path: str, depth: int) -> None:
    match value:
        case None | bool():
            pass
        case str():
            _check_text(value, path)
        case int() if abs(value) > MAX_EXACT_INTEGER:
            raise PayloadError(
                path, f"is beyond what a JSON number holds exactly (±{MAX_EXACT_INTEGER}); send a string"
            )
        case float() if not math.isfinite(value):
            raise PayloadError(path, NOT_FINITE)
        case int() | float():
            pass
        case dict() | list() | tuple() if depth > MAX_DEPTH:
            raise PayloadError("", TOO_DEEP)
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
        raise PayloadError(path, HAS_NUL)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PayloadError(path, "must be valid Unicode, without lone surrogates") from None
