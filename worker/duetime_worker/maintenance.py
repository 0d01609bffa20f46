"""Housekeeping: what can wait, and must not hold up what cannot."""

import asyncio
import dataclasses
import datetime
import random
import time
from collections.abc import AsyncIterator

import structlog

from duetime_core.model import errors
from duetime_core.postgres import schema
from duetime_core.store.log import partitions, retention
from duetime_worker import context

INTERVAL_SECONDS = 3600.0
AGAIN_SECONDS = 60.0
"""After a round that somebody was in the way of, such as a backup that reads the log."""
_PAUSE_SECONDS = 0.01
"""Between two batches, at least; else as long as the batch took, so that half of the time is others' alone."""

_log = structlog.get_logger()
_sleep = asyncio.sleep  # which tests do not wait for


@dataclasses.dataclass
class _Done:
    """What a round has deleted."""

    tasks: int = 0
    log_rows: int = 0
    log_months: list[str] = dataclasses.field(default_factory=list)


class Maintenance:
    """Keeps the log's partitions ahead of time, and deletes what is old. Every worker has one; one at a time works."""

    def __init__(
        self, here: context.Context, *, task_retention: datetime.timedelta, log_retention: datetime.timedelta
    ) -> None:
        self._engine = here.engine
        self._task_retention = task_retention
        self._log_retention = log_retention

    async def run(self) -> None:
        """Keeps house, for ever."""
        while True:
            is_done = await self._keep_house()
            # Jitter, so that workers which started together do not work at it together.
            await _sleep((INTERVAL_SECONDS if is_done else AGAIN_SECONDS) * random.uniform(0.8, 1.0))

    async def _keep_house(self) -> bool:
        """Does each job; returns False if one of them has to be tried again."""
        done = _Done()
        jobs = (
            self._make_partitions,
            self._delete_tasks,
            self._delete_log_rows,
            self._drop_months,
            self._count_ids,
        )
        is_done = True
        for job in jobs:
            try:
                await job(done)
            except (errors.LogBusy, errors.StoreUnavailable) as error:
                cause = str(error.__cause__ or error).partition("\n")[0]
                _log.warning("housekeeping is tried again in a minute", error=error.message, cause=cause)
                is_done = False
            except Exception:
                # Be it that its role may not change tables: tasks have to run all the same.
                _log.exception("housekeeping failed, and is tried again in a minute")
                is_done = False
        if done != _Done():
            _log.info("deleted what was old", **dataclasses.asdict(done))
        return is_done

    async def _make_partitions(self, _: _Done) -> None:
        await partitions.create_ahead(self._engine)

    async def _delete_tasks(self, done: _Done) -> None:
        async for deleted in _with_pauses(retention.delete_tasks(self._engine, self._task_retention)):
            done.tasks += deleted

    async def _delete_log_rows(self, done: _Done) -> None:
        async for deleted in _with_pauses(retention.delete_strays(self._engine, self._log_retention)):
            done.log_rows += deleted
        async for deleted in _with_pauses(retention.delete_other_logs(self._engine, self._log_retention)):
            done.log_rows += deleted

    async def _drop_months(self, done: _Done) -> None:
        while (month := await retention.drop_month(self._engine, self._log_retention)) is not None:
            done.log_months.append(month)

    async def _count_ids(self, _: _Done) -> None:
        used = await retention.used_ids(self._engine)
        if used > schema.MAX_TASK_ID // 2:
            _log.warning("half of the task ids are used", used=used, of=schema.MAX_TASK_ID)


async def _with_pauses(batches: AsyncIterator[int]) -> AsyncIterator[int]:
    started = time.monotonic()
    async for deleted in batches:
        yield deleted
        await asyncio.sleep(max(_PAUSE_SECONDS, time.monotonic() - started))
        started = time.monotonic()
