"""Duetime's worker: it claims due tasks and runs their handlers.

A handler is a function or coroutine in a module of yours, which `DUETIME_HANDLERS` names:

    from duetime_worker import Task, handler

    @handler("Send Email", timeout=30)
    async def send_email(task: Task) -> dict | None: ...
"""

from duetime_core.model.task import RetryPolicy
from duetime_worker.handlers import Fail, Retry, Task, handler

__all__ = ["Fail", "Retry", "RetryPolicy", "Task", "handler"]
