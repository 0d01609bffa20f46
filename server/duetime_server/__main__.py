"""`python -m duetime_server` runs a server until SIGTERM or SIGINT."""

import asyncio
import contextlib
import functools
import importlib.metadata
import sys

import grpc.aio
import structlog
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from duetime.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    key_service_pb2,
    key_service_pb2_grpc,
    queue_service_pb2,
    queue_service_pb2_grpc,
    schedule_service_pb2,
    schedule_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
)
from duetime_core.model import errors
from duetime_core.process import background, crash, logging, outage, signals, teardown
from duetime_core.redis import client as redis_client
from duetime_core.redis import doorbell
from duetime_core.store.log import marks
from duetime_server import id_health, listening, settings
from duetime_server.access import bearers, chain, peers, quotas, refusals
from duetime_server.access import keys as access_keys
from duetime_server.access import tokens as access_tokens
from duetime_server.rpc import admission, offload, pools
from duetime_server.services import audit, keys, queues, schedules, tasks
from duetime_server.tasks import creator, handler_catalog
from duetime_server.watch import hub

GRACE_SECONDS = 10.0
_FIRST_READ_SECONDS = 1.0
_LAST_WRITE_SECONDS = 1.0

_SERVICES = [
    service.full_name
    for definitions in (task_service_pb2, queue_service_pb2, schedule_service_pb2, key_service_pb2, audit_service_pb2)
    for service in definitions.DESCRIPTOR.services_by_name.values()
]
_OPTIONS = [
    ("grpc.max_receive_message_length", admission.MAX_TRANSCODED_BYTES),
    ("grpc.max_send_message_length", -1),  # a page of 1,000 tasks is as large as its tasks
    # All that the edge admits: 60 KiB, and HTTP/2's overhead for each header. Above its default of 8 KiB gRPC refuses
    # requests at random, with RESOURCE_EXHAUSTED: those with long cursors, or with cookies of other programs.
    ("grpc.max_metadata_size", 128 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
    ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it unevenly
    # Watches are many, long-lived and mostly silent.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
]

_log = structlog.get_logger()


async def serve(chosen: settings.Settings) -> None:
    """Serves until a signal arrives, and then stops gracefully."""
    connections = pools.Pools.connect(chosen.database_url)
    client = redis_client.connect(chosen.redis_url, prefix=chosen.redis_prefix)
    bell = doorbell.Doorbell(client)
    task_creator = creator.Creator(connections.creates, bell)
    database_outage = outage.Outage("the database", "calls return UNAVAILABLE, and watches wait", quiet_seconds=5)
    watch_hub = hub.Hub(connections.reads, database_outage)
    catalog = handler_catalog.HandlerCatalog(connections.creates, database_outage)
    offloader = offload.Offload()
    checks = health.aio.HealthServicer()
    authenticator = access_keys.KeyAuthenticator(connections.keys) if chosen.auth == "keys" else None
    refused = refusals.Refusals(connections.keys)
    tokens = access_tokens.TokenAuthenticator(chosen.jwt_file or {})
    callers = None if authenticator is None else bearers.BearerAuthenticator(authenticator, tokens)
    quota = quotas.Quotas(call_rate=chosen.call_rate, max_calls=chosen.max_calls, max_watches=chosen.max_watches)
    is_at_socket = chosen.listen.startswith(peers.UNIX_PREFIX)
    interceptors = chain.interceptors(callers, database_outage, chosen.edges, refused, quota, is_at_socket=is_at_socket)
    server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
    task_service_pb2_grpc.add_TaskServiceServicer_to_server(
        tasks.TaskService(connections, bell, task_creator, watch_hub, catalog, offloader), server
    )
    queue_service_pb2_grpc.add_QueueServiceServicer_to_server(queues.QueueService(connections, bell), server)
    schedule_service_pb2_grpc.add_ScheduleServiceServicer_to_server(
        schedules.ScheduleService(connections, bell, catalog, offloader), server
    )
    key_service_pb2_grpc.add_KeyServiceServicer_to_server(keys.KeyService(connections, bell), server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(audit.AuditService(connections), server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    try:
        listening.clear(chosen.listen)
        server.add_insecure_port(chosen.listen)
    except (OSError, RuntimeError) as error:  # gRPC's own is a RuntimeError
        sys.exit(f"DUETIME_LISTEN: cannot listen on {chosen.listen}: {error}")

    if authenticator is None:
        _log.warning("no authentication: anyone who reaches this server may do everything", auth=chosen.auth)

    terminated = asyncio.Event()
    signals.on_stop(terminated.set)

    with contextlib.suppress(errors.StoreUnavailable, TimeoutError):
        async with asyncio.timeout(_FIRST_READ_SECONDS):
            await catalog.refresh()  # so that the first tasks get their handlers' retries
    services = background.start(
        background.supervise("doorbell", bell.run),
        background.supervise("creator", task_creator.run),
        background.supervise("hub", watch_hub.run),
        background.supervise("change hints", functools.partial(watch_hub.listen, client)),
        background.supervise("handler catalog", catalog.run),
        background.supervise("id health", id_health.IdHealth(connections.reads, checks).run),
        background.supervise("feed marks", functools.partial(marks.run, connections.reads)),
    )
    if authenticator is not None:
        services += background.start(
            background.supervise("key hints", functools.partial(authenticator.listen, client)),
            background.supervise("key uses", authenticator.run),
            background.supervise("refusals", refused.run),
            *(background.supervise(f"keys of {alias}", each.run) for alias, each in tokens.signing_keys.items()),
        )
    try:
        await server.start()
        for name in ("", *_SERVICES):
            await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving", version=importlib.metadata.version("duetime-server"), listen=chosen.listen)
        await terminated.wait()
        _log.info("stopping")
        # First new calls stop arriving, then the watches end with an event, then the calls end.
        await checks.enter_graceful_shutdown()
        watch_hub.stop()
        await server.stop(GRACE_SECONDS)
        await bell.drain()
        if authenticator is not None:
            with contextlib.suppress(errors.StoreUnavailable, TimeoutError):
                async with asyncio.timeout(_LAST_WRITE_SECONDS):
                    await authenticator.note_uses()
            await refused.write_last(seconds=_LAST_WRITE_SECONDS)
    finally:
        await background.end(services)
    await client.aclose(close_connection_pool=True)
    await connections.dispose()
    _log.info("stopped")


def main() -> None:
    """Reads the settings and serves."""
    logging.configure()
    crash.configure()
    teardown.configure()
    uvloop.run(serve(settings.Settings.read()))


if __name__ == "__main__":
    main()
