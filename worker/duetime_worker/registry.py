"""Loads handlers from the modules in DUETIME_HANDLERS."""

import importlib
import pathlib
import sys
from collections.abc import Collection, Iterable, Mapping

from duetime_core.model import names
from duetime_worker import handlers

_MAX_LISTED = 20
BUILT_IN = tuple(f"duetime_worker.builtin.{name}" for name in ("send_email", "call_webhook", "generate_report"))


def load(modules: Iterable[str]) -> Mapping[str, handlers.Handler]:
    """Imports the modules and returns their handlers and the built-in ones, by name.

    A user's handler overrides a built-in one of the same name. Raises ValueError if two of the user's handlers have
    the same name, and ImportError as the import does.
    """
    # The working directory is the user's project. It comes last, so that a queue.py there does not shadow Python's.
    sys.path.append(str(pathlib.Path.cwd()))
    built_in = _collect(BUILT_IN, except_for=())
    return {**built_in, **_collect(modules, except_for=built_in.values())}


def own(found: Mapping[str, handlers.Handler]) -> dict[str, handlers.Handler]:
    """Returns the user's handlers, without the built-in ones."""
    built_in = _collect(BUILT_IN, except_for=())
    return {name: handler for name, handler in found.items() if built_in.get(name) is not handler}


def unknown(name: str, found: Collection[str]) -> str:
    """Returns the error message for a name without a handler, with the registered names."""
    nearest = names.nearest(name, found)
    hint = f'; did you mean "{nearest}"?' if nearest else ""
    known = ", ".join(f'"{each}"' for each in sorted(found)[:_MAX_LISTED])
    more = f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
    return f'no handler is registered for "{name}"; registered are: {known}{more}{hint}'


def _collect(modules: Iterable[str], *, except_for: Collection[handlers.Handler]) -> dict[str, handlers.Handler]:
    found: dict[str, handlers.Handler] = {}
    for module in modules:
        for value in vars(importlib.import_module(module)).values():
            handler = handlers.registered(value)
            if handler is None or handler in except_for:
                continue
            other = found.setdefault(handler.name, handler)
            if other.function is not handler.function:
                raise ValueError(
                    f'two handlers are named "{handler.name}": {_qualified(other)} and {_qualified(handler)}'
                )
    return found


def _qualified(handler: handlers.Handler) -> str:
    return f"{handler.function.__module__}.{handler.function.__qualname__}"
