"""Who makes a call, and what it may do."""

import contextvars
from collections.abc import Callable

from duetime_core.model import access

OPEN = "api"
"""The actor of any caller of a server that does not require authentication."""

principal: contextvars.ContextVar[access.Principal | None] = contextvars.ContextVar("principal", default=None)
"""Set by the interceptor before a call's request is parsed."""
origin: contextvars.ContextVar[str] = contextvars.ContextVar("origin", default="")
"""Set by the observer before a call's request is parsed."""

charging: contextvars.ContextVar[Callable[[int], None] | None] = contextvars.ContextVar("charging", default=None)
"""Set by the interceptor where calls are counted."""


def current() -> access.Principal | None:
    """Returns the principal that makes the current call, or None if the server does not require authentication."""
    return principal.get()


def actor() -> str:
    """Returns the actor of the current call, as logs name it."""
    caller = principal.get()
    return OPEN if caller is None else caller.actor


def address() -> str:
    """Returns from where the current call comes: an IP address, or `unix`."""
    return origin.get()


def charge(calls: int) -> None:
    """Counts the current call as so many more: it does the work of many."""
    count = charging.get()
    if count is not None:
        count(calls)


def may_read_payloads() -> bool:
    """Returns whether the caller may read task_data, results, and texts that may quote them."""
    caller = principal.get()
    return caller is None or caller.may_read_payloads
