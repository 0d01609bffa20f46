"""The namespace of a call: a tenant, whose tasks, schedules, queues, request ids, API keys and logs are its own.

It is ambient: what begins a call, a claim or a run says once to which namespace that belongs, and every statement below
takes it from there.
"""

import contextvars

DEFAULT = 1
"""The namespace `default`, which always exists. What was there before namespaces belongs to it."""

_current: contextvars.ContextVar[int] = contextvars.ContextVar("namespace_id")


class NoNamespaceError(RuntimeError):
    """Something of a namespace was asked for outside any: without this error, it would be that of all or of another."""


def current() -> int:
    """Returns the id of the namespace of the current call. Raises NoNamespaceError outside any."""
    try:
        return _current.get()
    except LookupError:
        raise NoNamespaceError(NoNamespaceError.__doc__) from None


def enter(namespace_id: int) -> None:
    """Puts the rest of the current context, such as the call that an interceptor begins, into a namespace."""
    _current.set(namespace_id)


class use:  # noqa: N801 - it is called as a function, and made for each run, where a generator takes a microsecond
    """Puts a block into a namespace."""

    __slots__ = ("_namespace_id", "_token")

    def __init__(self, namespace_id: int) -> None:
        self._namespace_id = namespace_id

    def __enter__(self) -> None:
        self._token = _current.set(self._namespace_id)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
