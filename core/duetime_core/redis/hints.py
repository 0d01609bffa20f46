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
_QUIET_SECONDS = 5.0
"""After a silence of that the connection is checked: a firewall that forgot it drops hints, and nothing closes it."""


async def listen(client: arq.connections.ArqRedis, channel: str) -> AsyncIterator[frozenset[int]]:
    """Yields the task ids of each hint on `channel` indefinitely, and reconnects after lost or silent connections.

    Hints sent meanwhile are lost: the hub polls each second anyway, and a lease keeper whenever it extends its leases.
    """
    redis_outage = redis_client.RedisOutage(
        "changes are noticed up to a second late, and cancellations up to a third of a lease"
    )
    while True:
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(channel)
                is_checked = False
                while True:
                    message = await subscription.get_message(timeout=_QUIET_SECONDS)
                    if message is None:
                        if is_checked:
                            _log.warning("subscription fell silent: subscribing again", channel=channel)
                            break
                        await subscription.ping()
                        is_checked = True
                        continue
                    is_checked = False
                    redis_outage.end()
                    if message["type"] == "message" and (task_ids := _parse(message["data"])):
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
