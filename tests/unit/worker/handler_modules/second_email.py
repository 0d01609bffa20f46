"""A user's module with another handler of the same name."""

from duetime_worker import Task, handler


@handler("Send Email")
async def send_too(run: Task) -> None:
    """Sends nothing either."""
