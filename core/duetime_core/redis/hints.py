"""Receiving the hints that `doorbell` sends."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import TypeVar

import arq.connections
import redis.exceptions
import structlog

from duetime_core.redis import client as redis_client

_log = structlog.get_logger()

_Id = TypeVar("_Id", int, str)

_RECONNECT_SECONDS = 1.0
_QUIET_SECONDS = 5.0
"""After a silence of that the connection is checked: a firewall that forgot it drops hints, and nothing closes it."""


def listen(client: arq.connections.ArqRedis, channel: str) -> AsyncGenerator[frozenset[int], None]:
    """Yields the task ids of each hint on `channel` indefinitely, and reconnects after lost or silent connections.

    Hints sent meanwhile are lost: the hub polls each second anyway, and a lease keeper whenever it extends its leases.
    """
    consequence = "changes are noticed up to a second late, and cancellations up to a third of a lease"
    return _listen(client, channel, int, consequence)


def listen_for_keys(client: arq.connections.ArqRedis, channel: str) -> AsyncGenerator[frozenset[str], None]:
    """Yields the ids of the API keys of each hint, as `listen` does. Servers read those they use every few seconds."""
    return _listen(client, channel, str, "a revoked API key is accepted up to 5 seconds longer")


async def _listen(
    client: arq.connections.ArqRedis, channel: str, kind: type[_Id], consequence: str
) -> AsyncGenerator[frozenset[_Id], None]:
    redis_outage = redis_client.RedisOutage(consequence)
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
                    if message["type"] == "message" and (ids := _parse(message["data"], kind)):
                        yield ids
        except redis.exceptions.NoPermissionError as error:
            redis_outage.begin(error)
            await asyncio.sleep(_RECONNECT_SECONDS)
        except (redis.exceptions.RedisError, OSError):  # the doorbell and the wakeups log that
            await asyncio.sleep(_RECONNECT_SECONDS)


def _parse(data: bytes, kind: type[_Id]) -> frozenset[_Id]:
    try:
        return frozenset(kind(each) for each in json.loads(data))
    except (ValueError, TypeError):
        # Any client of that Redis may publish to the channel, and no promise depends on a hint.
        _log.warning("invalid hint ignored", data=repr(data[:100]))
        return frozenset()
