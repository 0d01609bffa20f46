"""The fields that an update changes: those that are present, or those that update_mask names."""

from collections.abc import Collection
from typing import Any

from duetime_core.model import quoting
from duetime_server.rpc import violations

MAX_PATHS = 1_000
"""Far more than any request has fields."""


def named(request: Any, changeable: Collection[str], problems: violations.Violations) -> list[str]:
    """Returns the fields of `request` to change, all among `changeable`. Raises InvalidArgument if there are none."""
    if request.HasField("update_mask"):
        paths = request.update_mask.paths
        if len(paths) > MAX_PATHS:
            raise violations.refuse("update_mask", f"must name at most {MAX_PATHS} fields; it names {len(paths)}")
        for path in paths:
            if path not in changeable:
                shown = quoting.shortened(path)
                problems.add("update_mask", f"names {shown!r}; must be one of {', '.join(changeable)}")
        names = list(dict.fromkeys(paths))
    else:
        names = [name for name in changeable if _is_present(request, name)]
    problems.check()
    if not names:
        raise violations.refuse("update_mask", f"nothing to change: send at least one of {', '.join(changeable)}")
    return names


def _is_present(request: Any, name: str) -> bool:
    field = request.DESCRIPTOR.fields_by_name[name]
    return bool(getattr(request, name)) if not field.has_presence else bool(request.HasField(name))
