"""The slots of a worker: how many more tasks may run here now."""

from duetime_worker import execution
from duetime_worker.run import Run

MAX_BYTES = 32_000_000
"""Of the task_data of all runs, as JSON: 1,000 of the largest would take gigabytes once they are decoded."""


class Slots:
    """A slot for each run, and a thread besides for each plain function, until it has really ended.

    A claim does not know which handlers its tasks have. So while any handler is a plain function, no more tasks are
    claimed than threads are free: a task that waits for a thread here could run in another worker.
    """

    def __init__(self, executor: execution.Executor, *, concurrency: int, threads: int) -> None:
        self._executor = executor
        self._concurrency = concurrency
        self._threads = threads
        self._runs = 0
        self._plain_functions = 0
        self._bytes = 0

    @property
    def free(self) -> int:
        """How many more tasks may run now."""
        if self._bytes >= MAX_BYTES:
            return 0
        free = self._concurrency - self._runs
        if self._executor.has_plain_functions:
            free = min(free, self._threads - self._plain_functions)
        return free - len(self._executor.abandoned)

    def take(self, run: Run) -> None:
        """Counts a run that is to begin."""
        self._count(run, 1)

    def give_back(self, run: Run) -> None:
        """Stops counting a run that has ended."""
        self._count(run, -1)

    def _count(self, run: Run, change: int) -> None:
        self._runs += change
        self._bytes += change * run.size
        if self._executor.is_plain_function(run.claimed.name):
            self._plain_functions += change
