"""The client: a method for each thing that Duetime does."""

from __future__ import annotations

from duetime_client._async import bulk, queues, schedules, tasks


class AsyncClient(tasks.AsyncTasks, bulk.AsyncBulk, queues.AsyncQueues, schedules.AsyncSchedules):
    """Talks to the server at `target`, `host:port` of Envoy or of a server itself. It connects when it is first used;
    close it, or use it in a `with` block. An asynchronous one belongs to the event loop that it is first used in.

    Each call has `timeout` to be answered, attempts that gRPC repeats included. All methods raise errors of
    `duetime_client.errors`: InvalidArgument (which is a ValueError) before anything is sent if it cannot be
    sent, and always Unavailable or DeadlineExceeded when there is no answer. Below, "Fails with" names what
    each adds.
    """
