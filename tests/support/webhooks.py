"""Running Call Webhook without a database, and the secrets that it signs with."""

import base64
import pathlib
import secrets
import uuid
from typing import Any

from duetime_core.model import builtin
from duetime_worker import handlers
from duetime_worker.builtin import call_webhook
from tests.support import runs


async def call(url: str, run: handlers.Task | None = None, **more: Any) -> dict[str, Any]:
    """Runs Call Webhook with that task_data and returns its result."""
    called = builtin.Webhook.model_validate({"url": url, **more})
    return await call_webhook.call_webhook(run or runs.of(), called)


def secrets_file(directory: pathlib.Path, *lines: str) -> str:
    """Returns the path of a file of secrets, which only this user can read."""
    path = directory / f"webhook-secrets-{uuid.uuid4().hex[:8]}"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))
    return str(path)


def new_secret() -> str:
    """Returns a new secret, as `openssl rand -base64 32` makes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
