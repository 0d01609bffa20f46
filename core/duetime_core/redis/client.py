"""The one constructor of connections to Redis."""

import urllib.parse
from typing import Any

import arq.connections
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.exceptions

from duetime_core.process import outage, urls
from duetime_core.redis import names, wakeup

PERMISSIONS = (
    "~PREFIX:* ~arq:*:PREFIX:* ~arq:abort &PREFIX:* +auth +hello +select +ping +publish +subscribe +unsubscribe "
    "+multi +exec +discard +watch +unwatch +evalsha +script|load +get +set +setex +psetex +del +exists +incrby +expire "
    "+pexpire +zadd +zcard +zincrby +zrange +zrangebyscore +zrem +zremrangebyscore +zscore"
)
"""What an ACL must allow, and need not exceed, where PREFIX is the names' prefix: the commands of Duetime and arq."""

TIMEOUT_SECONDS = 1.0
"""The timeout of a Redis command. A lost wakeup costs at most a second: the sweep polls every second."""


class _ClosedAsConnectionError:
    """Raises ConnectionError if the server closed the connection just before a command was sent.

    uvloop then raises RuntimeError, which redis-py passes on and callers do not expect of an unavailable Redis.
    """

    async def send_packed_command(self, *arguments: Any, **keywords: Any) -> None:
        """Sends a command. Raises redis.exceptions.ConnectionError."""
        try:
            await super().send_packed_command(*arguments, **keywords)  # type: ignore[misc]
        except RuntimeError as error:
            raise redis.exceptions.ConnectionError(str(error)) from error


class RedisOutage(outage.Outage):
    """Tracks whether Redis is available, and permits what Duetime does there."""

    def __init__(self, consequence: str) -> None:
        super().__init__("redis", consequence)

    def _state(self, error: BaseException) -> str:
        if isinstance(error, redis.exceptions.NoPermissionError):
            return f"refuses a command to the user of DUETIME_REDIS_URL, who needs {PERMISSIONS}"
        if isinstance(error, redis.exceptions.AuthenticationError):
            return "refuses the user and password of DUETIME_REDIS_URL"
        return super()._state(error)


class Client(arq.connections.ArqRedis):
    """A client, with the names of its deployment's keys and channels."""

    names = names.Names()


def connect(redis_url: str, *, prefix: str = names.DEFAULT_PREFIX) -> Client:
    """Returns a client for `redis://…`, `rediss://…` or `unix://…`, good for arq too.

    It connects when it is used, and fails within TIMEOUT_SECONDS.
    """
    # Unix sockets need no keepalive, and redis-py has no such option for them.
    keepalive = {} if urllib.parse.urlsplit(redis_url).scheme == "unix" else {"socket_keepalive": True}
    pool = redis.asyncio.ConnectionPool.from_url(
        redis_url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        **keepalive,
        **urls.redis_options(redis_url),
        # Retries once, at once, because the server may have closed the connection while it was idle.
        retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 1),
    )
    pool.connection_class = type("Connection", (_ClosedAsConnectionError, pool.connection_class), {})
    client = Client(pool, job_serializer=wakeup.serialize, job_deserializer=wakeup.deserialize)
    client.names = names.Names(prefix)
    return client
