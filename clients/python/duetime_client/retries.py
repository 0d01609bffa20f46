"""Whether and when a call is retried that the server has too much work for. Decisions only, no I/O.

gRPC itself retries calls while the server is unavailable: see `channel`.
"""

from __future__ import annotations

import random

import grpc

from duetime_client import rpc_error

MAX_ATTEMPTS = 5
_LONGEST = 1.5


def wait_seconds(error: grpc.RpcError, attempts: int, left_seconds: float) -> float | None:
    """Returns how long to wait before the next attempt, or None if there should be none.

    The server says that it did nothing, and when to retry; so every call may be. There are few attempts, and each has
    half of the time that is left, so that the error of a server that stays busy is not replaced by a timeout.
    """
    delay = rpc_error.retry_delay(error)
    if delay is None or attempts >= MAX_ATTEMPTS:
        return None
    # Not all at the same time.
    seconds = delay.total_seconds() * random.uniform(1, _LONGEST)
    return seconds if seconds <= left_seconds / 2 else None
