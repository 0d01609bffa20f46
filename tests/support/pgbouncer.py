"""Debian's PgBouncer in front of a PostgreSQL."""

import contextlib
import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from duetime_stack import program
from tests.support import users

_START_SECONDS = 20


@contextlib.contextmanager
def running(directory: pathlib.Path, database_url: str, *, mode: str, options: str = "") -> Iterator[str]:
    """Runs it in that pool mode, and yields the URL of the same database through it."""
    path = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if path is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    behind = sa.make_url(database_url)
    users.make_directory(directory)
    (directory / "users").write_text(f'"{behind.username}" ""\n')
    (directory / "pgbouncer.ini").write_text(f"""
[databases]
* = host={behind.query["host"]} port={behind.query.get("port", 5432)}
[pgbouncer]
listen_addr =
unix_socket_dir = {directory}
auth_type = trust
auth_file = {directory}/users
pool_mode = {mode}
{options}
""")
    for name in ("users", "pgbouncer.ini"):
        (directory / name).chmod(0o644)
    command = [*users.become(), *program.bound_to_parent((path, str(directory / "pgbouncer.ini")), "KILL")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
    try:
        until = time.monotonic() + _START_SECONDS
        while b"process up" not in (directory / "log").read_bytes():
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < until, (directory / "log").read_text()
            time.sleep(0.01)
        query = {**behind.query, "host": str(directory), "port": "6432"}
        yield behind.set(query=query).render_as_string(hide_password=False)
    finally:
        process.kill()
        process.wait()
