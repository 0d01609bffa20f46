"""Which fields an update changes: those that are present, or those that update_mask names."""

from collections.abc import Collection
from typing import Any

from duetime_server import violations


def named(request: Any, changeable: Collection[str], wrong: violations.Violations) -> list[str]:
    """Returns the fields of `request` to change, all among `changeable`. Raises InvalidArgument if there are none."""
    if request.HasField("update_mask"):
        for path in request.update_mask.paths:
            if path not in changeable:
                shown = violations.shortened(path)
                wrong.add("update_mask", f"names {shown!r}, which is not one of {', '.join(changeable)}")
        names = list(dict.fromkeys(request.update_mask.paths))
    else:
        names = [name for name in changeable if _is_present(request, name)]
    wrong.check()
    if not names:
        raise violations.refuse("update_mask", f"nothing to change: send one of {', '.join(changeable)}")
    return names


def _is_present(request: Any, name: str) -> bool:
    field = request.DESCRIPTOR.fields_by_name[name]
    return bool(getattr(request, name)) if not field.has_presence else bool(request.HasField(name))
