"""Finding the handlers in the modules that the settings name."""

import importlib
import pathlib
import sys
from collections.abc import Collection, Iterable, Mapping

from duetime_core.model import names
from duetime_worker import handlers

_MOST_NAMED = 20
BUILT_IN = tuple(f"duetime_worker.builtin.{name}" for name in ("send_email", "call_webhook", "generate_report"))


def load(modules: Iterable[str]) -> Mapping[str, handlers.Handler]:
    """Imports those modules and returns their handlers, by name, with the built-in ones.

    A handler of the user's takes the place of a built-in one of the same name. Raises ValueError if two of the
    user's have one name, and ImportError as the import does.
    """
    # The user's project is the directory that the worker was started in. It comes last, so that a queue.py
    # there does not take the place of Python's.
    sys.path.append(str(pathlib.Path.cwd()))
    built_in = _collect(BUILT_IN, besides=())
    return {**built_in, **_collect(modules, besides=built_in.values())}


def own(found: Mapping[str, handlers.Handler]) -> dict[str, handlers.Handler]:
    """Returns those that the user wrote."""
    built_in = _collect(BUILT_IN, besides=())
    return {name: handler for name, handler in found.items() if built_in.get(name) is not handler}


def unknown(name: str, found: Collection[str]) -> str:
    """Says that no handler has that name, and which names there are."""
    near = names.nearest(name, found)
    meant = f'; did you mean "{near}"?' if near else ""
    known = ", ".join(f'"{each}"' for each in sorted(found)[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f'no handler is registered for "{name}"; registered are: {known}{more}{meant}'


def _collect(modules: Iterable[str], *, besides: Collection[handlers.Handler]) -> dict[str, handlers.Handler]:
    found: dict[str, handlers.Handler] = {}
    for module in modules:
        for value in vars(importlib.import_module(module)).values():
            handler = handlers.registered(value)
            if handler is None or handler in besides:
                continue
            other = found.setdefault(handler.name, handler)
            if other.function is not handler.function:
                raise ValueError(f'two handlers are called "{handler.name}": {_place(other)} and {_place(handler)}')
    return found


def _place(handler: handlers.Handler) -> str:
    return f"{handler.function.__module__}.{handler.function.__qualname__}"
