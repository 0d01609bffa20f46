"""PostgreSQL: its process, and its addresses."""

import contextlib
import pathlib
import urllib.parse

from duetime_stack import environments, pgdata, program, roles

_PORT = "5432"  # a part of the socket's name
# In postmaster.pid, as pg_ctl reads it (LOCK_FILE_LINE_PM_STATUS in PostgreSQL's utils/pidfile.h).
_STATUS_LINE = 8
_READY = "ready"


def url(data: pathlib.Path, socket_directory: pathlib.Path, role: str = roles.APPLICATION) -> str:
    """Returns the address of the embedded PostgreSQL for programs, with the role's password."""
    password = roles.passwords(data)[role]
    return f"postgresql://{role}:{password}@/{roles.DATABASE}?{_query(host=socket_directory)}"


def public_url(data: pathlib.Path, socket_directory: pathlib.Path, role: str = roles.APPLICATION) -> str:
    """Returns the address of the embedded PostgreSQL for people: it names the file that has the password."""
    query = _query(host=socket_directory, passfile=roles.passfile(data))
    return f"postgresql://{role}@/{roles.DATABASE}?{query}"


def make_program(data: pathlib.Path, socket_directory: pathlib.Path) -> program.Program:
    """Returns the process that serves the data directory at a unix socket in this directory, and nowhere else."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_directory),
        "unix_socket_permissions": "0700",
        "port": _PORT,
        "hba_file": str(data / "pg_hba.conf"),
        # What a row or a parameter holds, which DETAIL quotes, is nothing for a log.
        "log_error_verbosity": "terse",
        # Several servers and workers with a pool each.
        "max_connections": "200",
        # Creates write to any page of the indexes, and each page goes whole into the log after a checkpoint: keep them
        # at hand, and checkpoints rare. Memory is not taken before it is used.
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
        # "Fast shutdown": roll back, write a checkpoint, end.
        stop_signal="INT",
        stop_seconds=60,
        orphan_signal="INT",
    )


def accepts(data: pathlib.Path) -> bool:
    """Returns whether it takes connections: it writes so. What another one left there was removed before."""
    with contextlib.suppress(FileNotFoundError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) >= _STATUS_LINE and lines[_STATUS_LINE - 1].strip() == _READY
    return False


def _query(**values: pathlib.Path) -> str:
    # The port is named because PGPORT may be set.
    return urllib.parse.urlencode({**values, "port": _PORT}, safe="/", quote_via=urllib.parse.quote)
