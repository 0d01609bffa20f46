"""How many tasks a claim asks for, so that their task_data is not too large for one statement."""

from collections.abc import Sequence

from duetime_core.model import payload, task

MAX_BYTES = 4_000_000
"""Of the task_data of one claim: 500 tasks of 250 KB at once would time out on a slow disk, and again each time."""
MOST = 1_000
"""More than any claim asks for at once."""
_SAMPLE = 3


class ClaimSizes:
    """The most tasks of each queue that one claim asks for: halved when a claim fails, doubled when it succeeds.

    How large the tasks of a queue are is estimated from its last claim.
    """

    def __init__(self) -> None:
        self._most: dict[str, int] = {}  # of queues with large tasks, or failed claims

    def limit(self, queue: str, limit: int) -> int:
        """Returns how many tasks to ask for, of at most `limit`."""
        return min(limit, self._most.get(queue, MOST))

    def failed(self, queue: str, limit: int) -> None:
        """Records that a claim of so many tasks failed."""
        self._most[queue] = max(1, limit // 2)

    def succeeded(self, queue: str, size: int) -> None:
        """Records the average size of the tasks of a claim; 0 if it had none."""
        most = min(2 * self._most.get(queue, MOST), MOST, max(1, MAX_BYTES // max(size, 1)))
        if most < MOST:
            self._most[queue] = most
        else:
            self._most.pop(queue, None)


def average(tasks: Sequence[task.Task]) -> int:
    """Returns the average size in bytes of the tasks' task_data, by a few of them; 0 for none."""
    if not tasks:
        return 0
    sample = tasks[:: -(-len(tasks) // _SAMPLE)]
    return sum(len(payload.encode(each.task_data)) for each in sample) // len(sample)
