"""A user's module with a handler that overrides a built-in one."""

from duetime_worker import Task, handler


@handler("Send Email")
async def send(run: Task) -> None:
    """Sends nothing."""
