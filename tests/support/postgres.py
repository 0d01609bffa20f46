"""The tests' PostgreSQL: like the stack's, but without passwords at its socket."""

import contextlib
import pathlib
import subprocess
import types
from collections.abc import Iterator, Mapping

import psutil

from duetime_stack import pgdata, postgres, program, roles, waiting
from tests.support import users

_START_SECONDS = 60


class Postgres:
    """A running PostgreSQL server, in a directory that only its user, which is not root, can enter.

    `url` is that of its database `postgres`, for the superuser.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        programs: pathlib.Path | None = None,
        is_standby: bool = False,
        primary: "Postgres | None" = None,
        settings: Mapping[str, str] = types.MappingProxyType({}),
    ) -> None:
        """Makes a new one or, with a `primary`, an asynchronous standby of it, and starts it with these settings."""
        self._settings = {"listen_addresses": "", "unix_socket_directories": str(directory), **settings}
        self._programs = programs  # where the programs of another release are; None for the wheel's
        users.make_directory(directory)
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        self.url = f"postgresql://{roles.SUPERUSER}@/postgres?host={directory}"
        if primary is None:
            self._make()
            if is_standby:  # of no primary: it replays nothing, and takes no writes
                (self._data / "standby.signal").touch()
        else:
            self._copy(primary)
        self.start()

    def start(self) -> None:
        """Starts it, after `kill` again, and returns once it accepts connections."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        # The wrappers of `become` exec the server, so the process id is the server's.
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command("postgres", *settings), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )
        self._postmaster = psutil.Process(self._process.pid)
        self._frozen: list[psutil.Process] = []
        waiting.until(self._is_ready, "PostgreSQL", limit_seconds=_START_SECONDS)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspends all its processes during the block: connections stay open and get no response."""
        for process in (self._postmaster, *self._postmaster.children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
                self._frozen.append(process)
        try:
            yield
        finally:
            while self._frozen:
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._frozen.pop().resume()

    def kill(self) -> None:
        """Kills all its processes, as a crash of its machine would, except that connections are closed."""
        with contextlib.suppress(psutil.NoSuchProcess):
            processes = [self._postmaster, *self._postmaster.children()]
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=10)
        self._process.wait()

    def _make(self) -> None:
        options = ("-U", roles.SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-sync")
        builtin = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        locale = ("--locale=C.UTF-8",) if self._programs else builtin  # which PostgreSQL has since 17
        subprocess.run(
            self._command("initdb", *options, *locale),
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        with (self._data / "postgresql.conf").open("a") as configuration:
            # Tests kill processes, never the machine: what was written is there, flushed or not.
            configuration.write("fsync = off\n")

    def promote(self) -> None:
        """Makes the standby a primary."""
        subprocess.run(self._command("pg_ctl", "promote", "--wait"), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _copy(self, primary: "Postgres") -> None:
        options = ("-h", str(primary._directory), "-U", roles.SUPERUSER, "--write-recovery-conf", "--no-sync")
        command = (str(pgdata.program_path("pg_basebackup")), "-D", str(self._data), "--checkpoint=fast", *options)
        subprocess.run([*users.become(), *command], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def _command(self, name: str, *arguments: str) -> list[str]:
        path = self._programs / name if self._programs else pgdata.program_path(name)
        command = (str(path), "-D", str(self._data), *arguments)
        return [*users.become(), *program.bound_to_parent(command, "KILL")]

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        return postgres.accepts(self._data)
