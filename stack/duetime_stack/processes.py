"""Duetime's own processes: the migrations, the servers and the workers."""

import pathlib
import subprocess
from collections.abc import Mapping

from duetime_stack import environments, errors, layout, log_tail, program, sockets, waiting

# A worker's longest grace period, 30 s, and a moment to hand back what still runs.
_STOP_SECONDS = 35


def migrate(paths: layout.Layout, environment: Mapping[str, str]) -> None:
    """Applies the migrations that are missing. Raises StackError with what they said if they fail.

    Of this environment they get what servers get.
    """
    path = paths.log("migrate")
    with path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the program is ours
            program.bound_to_parent(program.python("duetime_core.migrate"), "KILL"),
            env={name: value for name, value in environment.items() if environments.is_for_servers(name)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        waiting.until(lambda: process.poll() is not None, "the migrations")
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise errors.StackError(f"the migrations failed; {log_tail.read(path)}")


def make_server(number: int, path: pathlib.Path) -> program.Program:
    """Returns a server that listens at this unix socket."""
    return program.Program(
        f"server-{number}",
        program.python("duetime_server"),
        lambda: sockets.accepts(path),
        inherits=environments.is_for_servers,
        environment={"DUETIME_LISTEN": f"unix:{path}"},
        stop_seconds=_STOP_SECONDS,
    )


def make_worker(number: int, paths: layout.Layout) -> program.Program:
    """Returns a worker. The user's handlers are imported from the directory where the stack was started."""
    name = f"worker-{number}"
    log = paths.log(name)
    # A log goes on from the last start, and supervisord moves it away when it is full.
    said_before = log.stat().st_size if log.exists() else 0
    return program.Program(
        name,
        program.python("duetime_worker"),
        lambda: _works(log, said_before),
        inherits=environments.is_for_workers,
        stop_seconds=_STOP_SECONDS,
    )


def _works(log: pathlib.Path, said_before: int) -> bool:
    # It listens nowhere; it says so once its handlers are imported and it looks for tasks.
    if not log.exists():
        return False
    with log.open("rb") as file:
        file.seek(said_before if log.stat().st_size >= said_before else 0)
        return b"event=working" in file.read()
