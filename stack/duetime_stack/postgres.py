"""The embedded PostgreSQL: its process and URLs."""

import contextlib
import pathlib
import urllib.parse

from duetime_stack import environments, pgdata, program, roles

_PORT = "5432"  # only part of the socket's name
# The line of postmaster.pid that pg_ctl reads (LOCK_FILE_LINE_PM_STATUS in PostgreSQL's utils/pidfile.h).
_STATUS_LINE = 8
_READY = "ready"


def url(data: pathlib.Path, socket_directory: pathlib.Path, role: str = roles.APPLICATION) -> str:
    """Returns the URL for programs, with the role's password."""
    password = roles.passwords(data)[role]
    return f"postgresql://{role}:{password}@/{roles.DATABASE}?{_query(host=socket_directory)}"


def public_url(data: pathlib.Path, socket_directory: pathlib.Path, role: str = roles.APPLICATION) -> str:
    """Returns the URL to show: it names the password file instead of the password."""
    query = _query(host=socket_directory, passfile=roles.passfile(data))
    return f"postgresql://{role}@/{roles.DATABASE}?{query}"


def make_program(data: pathlib.Path, socket_directory: pathlib.Path) -> program.Program:
    """Returns the program, which listens only at a unix socket in this directory."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_directory),
        "unix_socket_permissions": "0700",
        "port": _PORT,
        "hba_file": str(data / "pg_hba.conf"),
        # Keeps values of rows and parameters, which DETAIL quotes, out of the log.
        "log_error_verbosity": "terse",
        # For the pools of several servers and workers.
        "max_connections": "200",
        # Creates write to random index pages, and the first write to a page after a checkpoint logs the whole page:
        # keep the pages in memory and checkpoints rare. Memory is not allocated before it is used.
        "shared_buffers": "512MB",
        "max_wal_size": "2GB",
    }
    return program.Program(
        "postgres",
        [str(pgdata.program_path("postgres")), "-D", str(data)]
        + [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")],
        lambda: accepts(data),
        inherits=environments.is_basic,
        directory=data,
        # Fast shutdown: roll back, write a checkpoint, exit.
        stop_signal="INT",
        stop_seconds=60,
        orphan_signal="INT",
    )


def accepts(data: pathlib.Path) -> bool:
    """Returns whether it accepts connections, by its pid file. A stale one was removed before the start."""
    with contextlib.suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) >= _STATUS_LINE and lines[_STATUS_LINE - 1].strip() == _READY
    return False


def _query(**values: pathlib.Path) -> str:
    # The port is explicit because PGPORT may be set.
    return urllib.parse.urlencode({**values, "port": _PORT}, safe="/", quote_via=urllib.parse.quote)
