"""A user's module with a handler that has retry defaults."""

import datetime

from duetime_worker import RetryPolicy, handler


@handler("Patient", max_retries=12, retry_policy=RetryPolicy(datetime.timedelta(minutes=2), multiplier=3.0))
async def wait() -> None:
    """Does nothing."""
