"""A user's module with a handler that wraps a built-in one."""

from typing import Any

from duetime_core.model import builtin
from duetime_worker import Task, handler
from duetime_worker.builtin.send_email import send_email


@handler("Send Email")
async def send(run: Task, asked: builtin.Email) -> dict[str, Any]:
    """Sends it to the archive too."""
    return await send_email(run, asked)
