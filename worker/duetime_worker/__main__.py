"""`python -m duetime_worker`: runs a worker until SIGTERM or SIGINT. A second signal ends the grace period."""

import asyncio
import contextlib
import datetime
import functools
import importlib.metadata
import os
import secrets
import socket

import structlog
import uvloop

from duetime_core.model import errors, namespace
from duetime_core.postgres import database
from duetime_core.process import background, crash, logging, open_files, outage, signals, teardown
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.log import marks
from duetime_worker import (
    context,
    deadlines,
    execution,
    heartbeat,
    inputs,
    lease_watch,
    leases,
    maintenance,
    outcomes,
    redaction,
    registry,
    settings,
    sweep,
    wakeup_receiver,
)
from duetime_worker import runner as runners
from duetime_worker.builtin import call_webhook

_ANNOUNCE_SECONDS = 1.0

_log = structlog.get_logger()


async def serve(chosen: settings.Settings) -> None:
    """Runs a worker until a signal, and then stops it gracefully."""
    namespace.enter(namespace.DEFAULT)  # whose queues it serves: its services begin in this context
    handlers = registry.load(chosen.handlers)
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    structlog.contextvars.bind_contextvars(worker=worker_id)
    client = redis_client.connect(chosen.redis_url, prefix=chosen.redis_prefix)
    answer_seconds = deadlines.Deadlines.of(chosen.lease).answer
    for_leases = database.connect(chosen.database_url, pool_size=1, answer_seconds=answer_seconds)
    here = context.Context(
        worker_id,
        database.connect(chosen.database_url, answer_seconds=answer_seconds),
        doorbell.Doorbell(client),
        chosen.lease,
        outage.Outage("the database", "no tasks are claimed"),
    )
    given = inputs.Inputs(settings.Secrets.read().store(), settings.Payloads.read().keys_file)
    executor = execution.Executor(handlers, threads=chosen.threads, inputs=given)
    runner = runners.Runner(
        here, executor, queues=chosen.queues, concurrency=chosen.concurrency, threads=chosen.threads
    )
    keeper = leases.LeaseKeeper(here, runner, for_leases)
    upkeep = maintenance.Maintenance(
        here,
        task_retention=chosen.task_retention,
        log_retention=chosen.log_retention,
        audit_retention=chosen.audit_retention,
    )
    heartbeats = heartbeat.HeartbeatSender(
        here, runner, queues=chosen.queues, handlers=handlers, concurrency=chosen.concurrency
    )
    terminated, grace_ended = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (grace_ended if terminated.is_set() else terminated).set()

    signals.on_stop(on_signal)
    with contextlib.suppress(errors.StoreUnavailable, TimeoutError):
        async with asyncio.timeout(_ANNOUNCE_SECONDS):
            await heartbeats.announce()  # so that tasks created from now on get their handlers' retry defaults
    services = background.start(
        background.supervise("doorbell", here.bell.run),
        background.supervise("outcome recorder", runner.recorder.run),
        background.supervise("start recorder", runner.starts.run),
        background.supervise("runner", runner.run),
        background.supervise("lease keeper", keeper.run),
        background.supervise("lease watch", lease_watch.LeaseWatch(runner, chosen.lease).run),
        background.supervise("cancellation hints", functools.partial(keeper.listen, client)),
        background.supervise("sweep", sweep.Sweeper(here, runner).run),
        background.supervise("advancer", runner.advancer.run),
        background.supervise("schedule floors", runner.advancer.note_floors),
        background.supervise("maintenance", upkeep.run),
        background.supervise("feed marks", functools.partial(marks.run, here.engine)),
        background.supervise("heartbeat", heartbeats.run),
        background.supervise("wakeups", functools.partial(wakeup_receiver.receive, client, runner, chosen.queues)),
    )
    _log.info(
        "working",
        version=importlib.metadata.version("duetime-worker"),
        queues=",".join(chosen.queues),
        concurrency=chosen.concurrency,
        threads=chosen.threads,
        handlers=sorted(handlers),
    )
    await terminated.wait()
    _log.info("stopping", running=len(runner.versions), grace_seconds=chosen.grace_period.total_seconds())
    await runner.stop(chosen.grace_period, grace_ended=grace_ended)
    await _record_the_rest(runner.recorder, chosen.lease)
    await here.bell.drain()
    await background.end(services)
    await heartbeats.leave()
    await client.aclose(close_connection_pool=True)
    await here.engine.dispose()
    await for_leases.dispose()
    _log.info("stopped")
    if runner.versions or executor.abandoned:
        # Python would wait for handlers that cannot be ended. Their tasks are already released.
        os._exit(0)


async def _record_the_rest(recorder: outcomes.OutcomeRecorder, lease: datetime.timedelta) -> None:
    try:
        async with asyncio.timeout(lease.total_seconds()):
            await recorder.drain()
    except TimeoutError:
        # Once their leases have expired, other workers reclaim them.
        _log.warning("could not record outcomes: the database is unavailable", task_ids=sorted(recorder.versions))


def main() -> None:
    """Reads the settings and runs a worker."""
    logging.configure(redaction.text)
    crash.configure()
    teardown.configure()
    chosen = settings.Settings.read()
    for of_handlers in (settings.Smtp, settings.Reports, settings.Egress, settings.Secrets, settings.Payloads):
        of_handlers.read()  # handlers read them when they run; invalid settings end the worker now
    call_webhook.signer()  # which reads the secrets once
    open_files.raise_limit()  # a thousand handlers may have a connection each
    uvloop.run(serve(chosen))


if __name__ == "__main__":
    main()
