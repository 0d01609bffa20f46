"""Running Call Webhook without a database."""

from typing import Any

from duetime_core.model import builtin
from duetime_worker import handlers
from duetime_worker.builtin import call_webhook
from tests.support import runs


async def call(url: str, run: handlers.Task | None = None, **more: Any) -> dict[str, Any]:
    """Runs Call Webhook with that task_data and returns its result."""
    called = builtin.Webhook.model_validate({"url": url, **more})
    return await call_webhook.call_webhook(run or runs.of(), called)
