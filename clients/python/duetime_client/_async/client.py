"""The client: a method for each rpc."""

from __future__ import annotations

from duetime_client._async import bulk, queues, schedules, tasks


class AsyncClient(tasks.AsyncTasks, bulk.AsyncBulk, queues.AsyncQueues, schedules.AsyncSchedules):
    """A client of the server at `target`: `host:port` of Envoy, or of a server itself. It connects on first use. Close
    it, or use it in a `with` block. An asynchronous client belongs to the event loop that first uses it.

    `timeout` is per call, including gRPC's own retries. Every method may raise InvalidArgument (a ValueError), which is
    raised before anything is sent if a value cannot be sent, and Unavailable or DeadlineExceeded if there is no
    response. "Fails with" in a method's docstring names its other errors, all of them in `duetime_client.errors`.
    """
