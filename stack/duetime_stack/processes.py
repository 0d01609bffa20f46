"""Duetime's own processes: the one that prepares the database, servers and workers."""

import math
import pathlib
import subprocess
from collections.abc import Mapping

from duetime_stack import environments, errors, layout, log_tail, program, sockets, waiting

# A worker's longest grace period, 30 s, and time to release the tasks that still run.
_STOP_SECONDS = 35


def prepare(paths: layout.Layout, environment: Mapping[str, str], *, with_key: bool) -> str:
    """Applies missing migrations and, with `with_key`, creates the stack's own admin key if the database has none.

    Returns why there is no such key, or nothing. Of `environment` the process gets the same variables as servers.
    Raises StackError with the end of its log if it fails.
    """
    arguments = [str(paths.admin_key)] if with_key else []
    path = paths.log("migrate")
    with path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the program is ours
            program.bound_to_parent(program.python("duetime_stack.preparation", *arguments), "KILL"),
            env={name: value for name, value in environment.items() if environments.is_for_servers(name)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        # Without a limit: an index of many tasks takes minutes, and what they wait for is in their log.
        waiting.until(
            lambda: process.poll() is not None, f"the migrations (their log is {path})", limit_seconds=math.inf
        )
        # Of a line or two, which the pipe keeps until then.
        output, _ = process.communicate()
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise errors.StackError(f"the database could not be prepared; {log_tail.read(path)}")
    return output


def make_server(number: int, path: pathlib.Path) -> program.Program:
    """Returns the program of a server that listens at this unix socket."""
    return program.Program(
        f"server-{number}",
        program.python("duetime_server"),
        lambda: sockets.accepts(path),
        inherits=environments.is_for_servers,
        environment={"DUETIME_LISTEN": f"unix:{path}"},
        stop_seconds=_STOP_SECONDS,
    )


def make_worker(number: int, paths: layout.Layout) -> program.Program:
    """Returns the program of a worker, which imports the user's handlers from the stack's working directory."""
    name = f"worker-{number}"
    log = paths.log(name)
    # The log still has the lines of earlier starts, and supervisord rotates it when it is full.
    previous_size = log.stat().st_size if log.exists() else 0
    return program.Program(
        name,
        program.python("duetime_worker"),
        lambda: _is_working(log, previous_size),
        inherits=environments.is_for_workers,
        stop_seconds=_STOP_SECONDS,
    )


def _is_working(log: pathlib.Path, previous_size: int) -> bool:
    # A worker does not listen; it logs this event once it has imported its handlers and claims tasks.
    if not log.exists():
        return False
    with log.open("rb") as file:
        file.seek(previous_size if log.stat().st_size >= previous_size else 0)
        return b"event=working" in file.read()
