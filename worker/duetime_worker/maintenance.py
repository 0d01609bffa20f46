"""Maintenance: the log's partitions and retention, which must not delay running tasks."""

import asyncio
import dataclasses
import datetime
import random
import time
from collections.abc import AsyncIterator

import structlog

from duetime_core.model import errors
from duetime_core.postgres import schema
from duetime_core.process import failures
from duetime_core.store.audit import retention as audit_events
from duetime_core.store.log import marks, partitions, retention
from duetime_core.store.tasks import history, ids
from duetime_worker import context

INTERVAL_SECONDS = 3600.0
RETRY_SECONDS = 60.0
"""After a round that failed, for example because a backup was reading the log."""
_PAUSE_SECONDS = 0.01
"""The shortest pause between batches. Otherwise it is as long as the batch took: a load of at most one half."""

_log = structlog.get_logger()
_sleep = asyncio.sleep  # replaced in tests


@dataclasses.dataclass
class _Deleted:
    """The counts of a round."""

    tasks: int = 0
    schedules: int = 0
    log_rows: int = 0
    audit_events: int = 0
    log_months: list[str] = dataclasses.field(default_factory=list)


class Maintenance:
    """Creates the log's partitions ahead of time, and deletes expired rows. Of all workers, one runs it at a time."""

    def __init__(
        self,
        here: context.Context,
        *,
        task_retention: datetime.timedelta,
        log_retention: datetime.timedelta,
        audit_retention: datetime.timedelta,
    ) -> None:
        self._engine = here.engine
        self._task_retention = task_retention
        self._log_retention = log_retention
        self._audit_retention = audit_retention
        self._failures = {
            job: failures.Failures("maintenance failed", job=job.__name__.lstrip("_"))
            for job in (
                self._make_partitions,
                self._delete_tasks,
                self._delete_schedules,
                self._delete_log_rows,
                self._drop_months,
                self._delete_audit_events,
                self._count_ids,
            )
        }

    async def run(self) -> None:
        """Runs a round each hour, until cancelled."""
        while True:
            has_succeeded = await self._run_jobs()
            # Jitter, so that workers which started together do not run it together.
            await _sleep((INTERVAL_SECONDS if has_succeeded else RETRY_SECONDS) * random.uniform(0.8, 1.0))

    async def _run_jobs(self) -> bool:
        """Runs each job; returns False if one of them failed and has to be retried."""
        deleted = _Deleted()
        has_succeeded = True
        for job, failing in self._failures.items():
            try:
                await job(deleted)
                failing.end()
            except (errors.LogBusy, errors.StoreUnavailable) as error:
                cause = str(error.__cause__ or error).partition("\n")[0]
                _log.warning("maintenance failed", error=error.message, cause=cause, retry_seconds=RETRY_SECONDS)
                has_succeeded = False
            except Exception as error:
                # For example, its role may not change tables. Tasks must run all the same.
                failing.add(error, retry_seconds=RETRY_SECONDS)
                has_succeeded = False
        if deleted != _Deleted():
            _log.info("expired rows deleted", **dataclasses.asdict(deleted))
        return has_succeeded

    async def _make_partitions(self, _: _Deleted) -> None:
        await partitions.create_ahead(self._engine)
        await history.create_ahead(self._engine, self._task_retention)

    async def _delete_tasks(self, deleted: _Deleted) -> None:
        async for count in _with_pauses(history.delete_strays(self._engine, self._task_retention)):
            deleted.tasks += count
        dropped = True
        while dropped:  # a partition at a time
            dropped = False
            async for count in _with_pauses(history.drop_oldest(self._engine, self._task_retention)):
                deleted.tasks += count
                dropped = True

    async def _delete_schedules(self, deleted: _Deleted) -> None:
        async for count in _with_pauses(retention.delete_schedules(self._engine, self._task_retention)):
            deleted.schedules += count
        async for _ in _with_pauses(retention.free_times(self._engine, self._task_retention)):
            pass

    async def _delete_log_rows(self, deleted: _Deleted) -> None:
        async for count in _with_pauses(retention.delete_strays(self._engine, self._log_retention)):
            deleted.log_rows += count
        async for count in _with_pauses(retention.delete_other_logs(self._engine, self._log_retention)):
            deleted.log_rows += count

    async def _drop_months(self, deleted: _Deleted) -> None:
        while (month := await retention.drop_month(self._engine, self._log_retention)) is not None:
            deleted.log_months.append(month)
        await marks.forget(self._engine, self._log_retention)

    async def _delete_audit_events(self, deleted: _Deleted) -> None:
        async for count in _with_pauses(audit_events.delete(self._engine, self._audit_retention)):
            deleted.audit_events += count

    async def _count_ids(self, _: _Deleted) -> None:
        used = await ids.last(self._engine)
        remaining = schema.MAX_TASK_ID - used
        if used > ids.NEARLY_ALL:
            _log.error("nine tenths of the task ids are used", used=used, remaining=remaining)
        elif used > ids.HALF:
            _log.warning("half of the task ids are used", used=used, remaining=remaining)


async def _with_pauses(batches: AsyncIterator[int]) -> AsyncIterator[int]:
    started = time.monotonic()
    async for count in batches:
        yield count
        await asyncio.sleep(max(_PAUSE_SECONDS, time.monotonic() - started))
        started = time.monotonic()
