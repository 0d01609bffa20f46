"""Housekeeping: what can wait, and must not hold up what cannot."""

import asyncio
import random

import structlog

from duetime_core import errors
from duetime_core.store import partitions
from duetime_worker import context

INTERVAL_SECONDS = 3600.0
AGAIN_SECONDS = 60.0
"""After a round that somebody was in the way of, such as a backup that reads the log."""

_log = structlog.get_logger()
_sleep = asyncio.sleep  # which tests do not wait for


class Housekeeper:
    """Keeps the log's partitions ahead of time. Every worker has one; they leave work to each other."""

    def __init__(self, here: context.Context) -> None:
        self._here = here

    async def run(self) -> None:
        """Keeps house, for ever."""
        while True:
            is_done = await self._try()
            # Jitter, so that workers which started together do not work at it together.
            await _sleep((INTERVAL_SECONDS if is_done else AGAIN_SECONDS) * random.uniform(0.8, 1.0))

    async def _try(self) -> bool:
        try:
            return await self._keep_house()
        except errors.StoreUnavailable as error:
            _log.warning("housekeeping has to wait", error=str(error.__cause__ or error).partition("\n")[0])
            return False

    async def _keep_house(self) -> bool:
        """Does what there is to do; returns False if not all of it could be done now."""
        is_done = await partitions.create_ahead(self._here.engine)
        if not is_done:
            _log.info("the log's next partition has to wait: somebody reads the log")
        return is_done
