"""Encoding values in the JSON parameters of statements."""

import datetime
from typing import Any

from duetime_core.model import task


def interval(span: datetime.timedelta) -> str:
    """Returns PostgreSQL's text of an interval."""
    return f"{span.total_seconds():f} seconds"  # without an exponent, which interval input rejects


def retries(max_retries: int, policy: task.RetryPolicy) -> dict[str, Any]:
    """Returns them as statements read them, in a JSON parameter."""
    return {
        "max_retries": max_retries,
        "initial_backoff": interval(policy.initial_backoff),
        "max_backoff": interval(policy.max_backoff),
        "multiplier": policy.multiplier,
        "jitter": policy.jitter,
    }
