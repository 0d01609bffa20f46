"""Receiving the hints that `doorbell` sends."""

import asyncio
import json
from collections.abc import AsyncIterator

import arq.connections
import redis.exceptions
import structlog

from duetime_core.redis import client as redis_client

_log = structlog.get_logger()

_RECONNECT_SECONDS = 1.0
_READ_SECONDS = 30.0  # without it, a read would time out as commands do


async def listen(client: arq.connections.ArqRedis, channel: str) -> AsyncIterator[frozenset[int]]:
    """Yields the task ids of each hint on `channel` indefinitely, and reconnects after lost connections.

    Hints sent while the connection was lost are lost: listeners poll once a second anyway.
    """
    redis_outage = redis_client.RedisOutage("changes and cancellations are noticed up to a second late")
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                while True:
                    message = await subscription.get_message(timeout=_READ_SECONDS)
                    redis_outage.end()
                    if message is not None and (task_ids := _parse(message["data"])):
                        yield task_ids
        except redis.exceptions.NoPermissionError as error:
            redis_outage.begin(error)
            await asyncio.sleep(_RECONNECT_SECONDS)
        except (redis.exceptions.RedisError, OSError):  # the doorbell and the wakeups log that
            await asyncio.sleep(_RECONNECT_SECONDS)


def _parse(data: bytes) -> frozenset[int]:
    try:
        return frozenset(int(task_id) for task_id in json.loads(data))
    except (ValueError, TypeError):
        # Any client of that Redis may publish to the channel, and no promise depends on a hint.
        _log.warning("invalid hint ignored", data=repr(data[:100]))
        return frozenset()
