"""The handlers and queues to which a principal is limited, and rules that depend on the request."""

from duetime_core.model import errors
from duetime_core.model.access import Role
from duetime_server import access


def are_any() -> bool:
    """Returns whether the caller is limited to some handlers or queues."""
    caller = access.current()
    return caller is not None and (caller.handlers is not None or caller.queues is not None)


def check(*, handler: str, queue: str) -> None:
    """Raises PermissionDenied if the caller may not create or change tasks of that handler in that queue."""
    caller = access.current()
    if caller is None:
        return
    if caller.handlers is not None and handler not in caller.handlers:
        raise errors.PermissionDenied(
            f"The caller may not create or change tasks of the handler {handler!r}.", handler=handler
        )
    check_queue(queue)


def check_queue(queue: str) -> None:
    """Raises PermissionDenied if the caller may not change that queue and its tasks."""
    caller = access.current()
    if caller is not None and caller.queues is not None and queue not in caller.queues:
        raise errors.PermissionDenied(f"The caller may not change the queue {queue!r} or its tasks.", queue=queue)


def check_filter(*, handler: str | None, queue: str | None) -> None:
    """Raises PermissionDenied if a filter matches tasks that the caller may not change; None matches all."""
    caller = access.current()
    if caller is None:
        return
    for field, wanted, permitted in (("name", handler, caller.handlers), ("queue", queue, caller.queues)):
        if permitted is not None and wanted is None:
            raise errors.PermissionDenied(
                f"filter.{field} is required: the caller is limited, so the filter must have one of its {field}s.",
                field=f"filter.{field}",
            )
    check(handler=handler or "", queue=queue or "")


def require_none(what: str) -> None:
    """Raises PermissionDenied if the caller is limited; `what` concerns all handlers and queues."""
    if are_any():
        raise errors.PermissionDenied(f"A caller that is limited to handlers or queues may not {what}.")


def require_role(role: Role, what: str) -> None:
    """Raises PermissionDenied if the caller's role does not include that one, which `what` takes."""
    caller = access.current()
    if caller is not None and not caller.role.includes(role):
        raise errors.PermissionDenied(f"The role {caller.role} may not {what}.", role=caller.role)
