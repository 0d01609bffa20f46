"""The parts' supervisor: supervisord, as a child of this process."""

import contextlib
import functools
import pathlib
import resource
import subprocess
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence

import supervisor.xmlrpc  # type: ignore[import-untyped]

from duetime_stack import errors, layout, log_tail, program, status, supervisord_conf, supervisord_log, waiting

# Thousands of watches are thousands of connections, and the usual limit is 1,024 files.
_OPEN_FILES = 65_536
_POLL_SECONDS = 0.25


class Supervisor:
    """A running supervisord that has all programs and has started none."""

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
        """Starts these programs together and returns when all are ready. Raises StackError if one dies."""
        for each in programs:
            self._rpc().supervisor.startProcess(f"{self._groups[each.name]}:{each.name}", False)
        for each in programs:
            waiting.until(functools.partial(self._is_ready, each), each.name)

    def watch(self) -> None:
        """Says what happens to the parts, for as long as supervisord runs; then raises StackError."""
        printer = status.StatusPrinter(self._paths)
        while True:
            self._require_alive()
            for event in self._events.read():
                printer.handle(event)
            time.sleep(_POLL_SECONDS)

    def wait_until_it_answers(self) -> None:
        """Returns once it takes orders. Raises StackError if it does not."""
        waiting.until(self._answers, "supervisord")

    def _is_ready(self, each: program.Program) -> bool:
        self._require_alive()
        for event in self._events.read():
            if event.cause is not None:
                log = log_tail.read(self._paths.log(event.part))
                raise errors.StackError(f"{event.part} does not start ({event.cause}); {log}")
        return each.is_ready()

    def _answers(self) -> bool:
        self._require_alive()
        try:
            self._rpc().supervisor.getState()
        except OSError:
            return False
        return True

    def _rpc(self) -> xmlrpc.client.ServerProxy:
        # A new one for each call: after a call that failed, a transport is of no more use.
        transport = supervisor.xmlrpc.SupervisorTransport(serverurl=f"unix://{self._socket}")
        # ServerProxy insists on an address of this kind, and the transport ignores it.
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
    """Runs supervisord, and at the end stops what it runs: the last stage first, and then itself.

    Each program gets its own variables of this environment. supervisord takes orders at the socket, and keeps the
    lock's descriptor open for as long as it lives.
    """
    configuration = paths.run / "supervisord.conf"
    supervisord_conf.write(configuration, socket, paths, stages, environment)
    _raise_file_limit()
    with paths.log("supervisord").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - the program is ours
            # SIGTERM makes it stop the parts in order, also when this process was killed.
            program.bound_to_parent(program.python("supervisor.supervisord", "-c", str(configuration)), "TERM"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            # The terminal's Ctrl-C and hang-up are for this process, which then says what happens.
            start_new_session=True,
        )
    try:
        running = Supervisor(process, socket, paths, _groups(stages))
        running.wait_until_it_answers()
        yield running
    finally:
        process.terminate()
        while process.returncode is None:
            # A signal that comes now must not leave parts behind: supervisord needs as long as they do.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()


def _groups(stages: Sequence[Sequence[program.Program]]) -> dict[str, str]:
    return {each.name: supervisord_conf.group(number) for number, stage in enumerate(stages) for each in stage}


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
