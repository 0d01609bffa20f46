"""supervisord, which runs the stack's processes, as a child of this process."""

import contextlib
import functools
import pathlib
import subprocess
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence

import supervisor.xmlrpc  # type: ignore[import-untyped]

from duetime_core.process import open_files
from duetime_stack import errors, layout, log_tail, program, status, supervisord_conf, supervisord_log, waiting

_POLL_SECONDS = 0.25


class Supervisor:
    """A running supervisord that knows all programs and has started none."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        socket: pathlib.Path,
        paths: layout.Layout,
        groups: Mapping[str, str],
    ) -> None:
        self._process = process
        self._socket = socket
        self._paths = paths
        self._groups = groups
        self._events = supervisord_log.Reader(paths.log("supervisord"))

    def start(self, programs: Sequence[program.Program]) -> None:
        """Starts these programs together and returns when all are ready. Raises StackError if one exits."""
        for each in programs:
            self._rpc().supervisor.startProcess(f"{self._groups[each.name]}:{each.name}", False)
        for each in programs:
            waiting.until(functools.partial(self._is_ready, each), each.name)

    def watch(self) -> None:
        """Prints exits and restarts while supervisord runs; raises StackError when it ends."""
        printer = status.StatusPrinter(self._paths)
        while True:
            self._require_alive()
            for event in self._events.read():
                printer.handle(event)
            time.sleep(_POLL_SECONDS)

    def wait_until_ready(self) -> None:
        """Returns once supervisord answers. Raises StackError if it does not."""
        waiting.until(self._answers, "supervisord")

    def _is_ready(self, each: program.Program) -> bool:
        self._require_alive()
        for event in self._events.read():
            if event.cause is not None:
                log = log_tail.read(self._paths.log(event.process))
                raise errors.StackError(f"{event.process} failed to start ({event.cause}); {log}")
        return each.is_ready()

    def _answers(self) -> bool:
        self._require_alive()
        try:
            self._rpc().supervisor.getState()
        except OSError:
            return False
        return True

    def _rpc(self) -> xmlrpc.client.ServerProxy:
        # A new one for each call: a transport cannot be reused after a failed call.
        transport = supervisor.xmlrpc.SupervisorTransport(serverurl=f"unix://{self._socket}")
        # ServerProxy requires an HTTP URL; the transport ignores it.
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport)

    def _require_alive(self) -> None:
        if self._process.poll() is not None:
            log = log_tail.read(self._paths.log("supervisord"))
            raise errors.StackError(f"supervisord ended with status {self._process.returncode}; {log}")


@contextlib.contextmanager
def supervise(
    paths: layout.Layout,
    stages: Sequence[Sequence[program.Program]],
    environment: Mapping[str, str],
    socket: pathlib.Path,
    lock: int,
) -> Iterator[Supervisor]:
    """Runs supervisord; at the end stops its processes, the last stage first, and then supervisord.

    Each program gets its own variables of `environment`. supervisord listens at the socket, and holds the lock while it
    runs.
    """
    configuration = paths.run / "supervisord.conf"
    supervisord_conf.write(configuration, socket, paths, stages, environment)
    open_files.raise_limit()  # thousands of watches need as many connections
    with paths.log("supervisord").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the program is ours
            # SIGTERM makes it stop its processes gracefully, also after this process was killed.
            program.bound_to_parent(program.python("supervisor.supervisord", "-c", str(configuration)), "TERM"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            # Ctrl-C and hang-up of the terminal must reach only this process, which then stops supervisord.
            start_new_session=True,
        )
    try:
        running = Supervisor(process, socket, paths, _groups(stages))
        running.wait_until_ready()
        yield running
    finally:
        process.terminate()
        while process.returncode is None:
            # A further signal must not leave processes behind: wait until supervisord has stopped them.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()


def _groups(stages: Sequence[Sequence[program.Program]]) -> dict[str, str]:
    return {each.name: supervisord_conf.group(number) for number, stage in enumerate(stages) for each in stage}
