"""Hearing the hints that `doorbell` rings."""

import asyncio
import json
from collections.abc import AsyncIterator

import arq.connections
import redis.exceptions

_RECONNECT_SECONDS = 1.0
_READ_SECONDS = 30.0  # given, because reading would else time out as commands do


async def listen(client: arq.connections.ArqRedis, channel: str) -> AsyncIterator[frozenset[int]]:
    """Yields the task ids of each hint on `channel`, for ever, over lost connections.

    Hints that were rung while the connection was lost are lost: whoever listens looks once a second anyway.
    """
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                while True:
                    message = await subscription.get_message(timeout=_READ_SECONDS)
                    if message is not None:
                        yield frozenset(json.loads(message["data"]))
        except (redis.exceptions.RedisError, OSError):
            await asyncio.sleep(_RECONNECT_SECONDS)
