"""PostgreSQL over TLS: `sslmode=verify-full` verifies the authority and the name, in each process that connects.

Against Debian's, because the wheel's PostgreSQL is built without TLS.
"""

import asyncio
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import trustme

import duetime_client
from duetime_core.postgres import database
from duetime_stack import errors, external
from tests.support import certificates, clients, postgres, processes

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")

pytestmark = pytest.mark.skipif(not PROGRAMS.exists(), reason="apt-get install postgresql-15")

_OF_DUETIME = sa.text(
    "SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
    "WHERE backend_type = 'client backend'"
)


@dataclasses.dataclass(frozen=True)
class Encrypted:
    """A PostgreSQL that speaks TLS at 127.0.0.1 alone, with a certificate for that address."""

    port: int
    ca: pathlib.Path

    def url(self, *, host: str = "127.0.0.1", ca: pathlib.Path | str | None = None) -> str:
        """Returns the URL of its database `postgres`."""
        return f"postgresql://postgres@{host}:{self.port}/postgres?sslmode=verify-full&sslrootcert={ca or self.ca}"


@pytest.fixture(scope="module")
def encrypted(short_directory: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    authority, port = trustme.CA(), processes.free_port()
    certificate = certificates.files(short_directory, authority, "postgres-tls")
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "on",
        "ssl": "on",
        "ssl_cert_file": str(certificate.chain),
        "ssl_key_file": str(certificate.key),
    }
    server = postgres.Postgres(short_directory / "tls", programs=PROGRAMS, settings=settings)
    yield Encrypted(port, certificates.ca_file(authority, tmp_path_factory.mktemp("authority")))
    server.kill()


async def run(*command: str, **variables: str) -> tuple[int, str]:
    """Returns the exit status and what a command printed."""
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    return ended.returncode, ended.stdout


DUETIME = str(pathlib.Path(sys.executable).with_name("duetime"))


@pytest.mark.parametrize("by_environment", [False, True])
async def test_every_process_works_over_tls(
    encrypted: Encrypted, redis_url: str, tmp_path: pathlib.Path, by_environment: bool
) -> None:
    url = encrypted.url(ca="system" if by_environment else None)
    variables = {"SSL_CERT_FILE": str(encrypted.ca)} if by_environment else {}
    of_database = {**variables, "DUETIME_DATABASE_URL": url, "DUETIME_REDIS_URL": redis_url}
    status, printed = await run(sys.executable, "-m", "duetime_core.migrate", **of_database)
    assert status == 0, printed
    status, printed = await run(DUETIME, "doctor", **of_database)
    assert status == 0, printed
    name = f"by-{by_environment}"
    create = ("key", "create", name, "--role", "admin", "--never-expires", "--database-url", f"@{tmp_path / 'url'}")
    (tmp_path / "url").write_text(url)
    status, printed = await run(DUETIME, *create, **variables)
    assert status == 0, printed
    starter = processes.Starter(tmp_path, database_url=url, redis_url=redis_url)
    starter._environment.update(variables)
    server, worker = await starter.server(), await starter.worker()
    try:
        async with duetime_client.AsyncClient(server.address) as client:
            await clients.finished(client, await client.create("noop", clients.NOW))
        engine = database.connect(encrypted.url(), pool_size=1)
        async with engine.connect() as connection:
            every, with_tls = (await connection.execute(_OF_DUETIME)).one()
        await engine.dispose()
        assert every == with_tls > 2
        assert not any("unavailable" in line for each in (server, worker) for line in each.log)
    finally:
        await starter.kill_all()


async def test_a_certificate_of_another_host_or_authority_is_refused_and_the_reason_shown(
    encrypted: Encrypted, redis_url: str, tmp_path: pathlib.Path
) -> None:
    strange = certificates.ca_file(trustme.CA(), tmp_path)
    for url, reason in (
        (encrypted.url(host="localhost"), "does not match host name"),
        (encrypted.url(ca=strange), "certificate verify failed"),
        (encrypted.url(ca=tmp_path / "none"), "does not exist"),
    ):
        of_database = {"DUETIME_DATABASE_URL": url, "DUETIME_REDIS_URL": redis_url}
        for command in ((sys.executable, "-m", "duetime_core.migrate"), (DUETIME, "doctor")):
            status, printed = await run(*command, **of_database)
            assert (status, reason in printed) == (1, True), printed
        with pytest.raises(errors.StackError, match=reason):
            await asyncio.to_thread(external.database, url)

    starter = processes.Starter(tmp_path, database_url=encrypted.url(host="localhost"), redis_url=redis_url)
    try:
        for each in (await starter.worker(), await starter.server()):
            await each.wait_for_log("does not match host name")
    finally:
        await starter.kill_all()
