"""`python -m duetime_worker`: a worker, until SIGTERM or SIGINT. A second signal cuts the grace period short."""

import asyncio
import contextlib
import datetime
import importlib.metadata
import os
import secrets
import socket
import sys

import structlog
import uvloop

from duetime_core.model import errors
from duetime_core.postgres import database
from duetime_core.process import background, crash, logging, outage, signals
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_worker import (
    context,
    execution,
    heartbeat,
    leases,
    maintenance,
    outcomes,
    registry,
    runner,
    settings,
    sweep,
    wakeups,
)

_ANNOUNCE_SECONDS = 1.0

_log = structlog.get_logger()


async def serve(chosen: settings.Settings) -> None:
    """Works until a signal comes, and stops in order."""
    handlers = registry.load(chosen.handlers)
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    structlog.contextvars.bind_contextvars(worker=worker_id)
    client = redis_client.connect(chosen.redis_url)
    here = context.Context(
        worker_id,
        database.connect(chosen.database_url),
        doorbell.Doorbell(client),
        chosen.lease,
        outage.Outage("the database", "no tasks are claimed"),
    )
    executor = execution.Executor(handlers, concurrency=chosen.concurrency)
    report = outcomes.OutcomeRecorder(here)
    runs = runner.Runner(here, executor, report, queues=chosen.queues, concurrency=chosen.concurrency)
    keeper = leases.LeaseKeeper(here, runs, report)
    housekeeper = maintenance.Maintenance(
        here, task_retention=chosen.task_retention, log_retention=chosen.log_retention
    )
    present = heartbeat.HeartbeatSender(
        here, runs, queues=chosen.queues, handlers=handlers, concurrency=chosen.concurrency
    )
    terminated, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if terminated.is_set() else terminated).set()

    signals.on_stop(on_signal)
    with contextlib.suppress(errors.StoreUnavailable, TimeoutError):
        async with asyncio.timeout(_ANNOUNCE_SECONDS):
            await present.announce()  # so that tasks which are created now get the retries that their handlers bring
    services = background.start(
        here.bell.run(),
        report.run(),
        runs.run(),
        keeper.run(),
        keeper.listen(chosen.redis_url),
        sweep.Sweeper(here, runs).run(),
        housekeeper.run(),
        present.run(),
        *(wakeups.receive(client, runs, queue) for queue in chosen.queues),
    )
    _log.info(
        "working",
        version=importlib.metadata.version("duetime-worker"),
        queues=",".join(chosen.queues),
        concurrency=chosen.concurrency,
        handlers=sorted(handlers),
    )
    failed = False
    try:
        await background.wait(terminated, services)
    except Exception:
        # Without that service the worker is of no use; but what runs is not at fault.
        _log.exception("a service failed")
        failed = True
    _log.info("stopping", running=len(runs.versions), grace_seconds=chosen.grace_period.total_seconds())
    await runs.stop(chosen.grace_period, hurry=hurry)
    await _record_the_rest(report, chosen.lease)
    await here.bell.drain()
    await background.end(services)
    await present.leave()
    await client.aclose(close_connection_pool=True)
    await here.engine.dispose()
    _log.info("stopped")
    if runs.versions or executor.lingering:
        # Handlers that nothing can end: Python would wait for them. Their tasks are handed back already.
        os._exit(int(failed))
    sys.exit(int(failed))


async def _record_the_rest(report: outcomes.OutcomeRecorder, lease: datetime.timedelta) -> None:
    try:
        async with asyncio.timeout(lease.total_seconds()):
            await report.drain()
    except TimeoutError:
        # After a lease they come back by themselves.
        _log.warning("could not record outcomes: the database is gone", task_ids=sorted(report.versions))


def main() -> None:
    """Reads the settings and works."""
    logging.configure()
    crash.configure()
    chosen = settings.Settings.read()
    for handlers_read in (settings.Smtp, settings.Reports, settings.Egress):
        handlers_read.read()  # when they run: what is wrong shows now
    uvloop.run(serve(chosen))


if __name__ == "__main__":
    main()
