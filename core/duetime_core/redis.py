"""The one constructor of connections to Redis."""

import arq.connections
import redis.asyncio
import redis.asyncio.retry
import redis.backoff

from duetime_core import wakeup

TIMEOUT_SECONDS = 1.0
"""How long Redis may take to answer; it only says when to look, and the sweep looks each second anyway."""


def connect(redis_url: str) -> arq.connections.ArqRedis:
    """Returns a client for `redis://…`, good for arq too, that connects when used and fails within TIMEOUT_SECONDS."""
    pool = redis.asyncio.ConnectionPool.from_url(
        redis_url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_keepalive=True,
        # A connection that the other side closed while it was idle is replaced at once; what fails then, fails.
        retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 1),
    )
    return arq.connections.ArqRedis(pool, job_serializer=wakeup.serialize, job_deserializer=wakeup.deserialize)
