"""The creates that are in flight in this server, by their namespaces and request ids."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator

RequestId = tuple[int, str]
"""A namespace, and a request_id in it."""


class InFlight:
    """Lets a batch wait for creates that use one of its request ids.

    Otherwise such a create, which the batch cannot see, could refuse it after it had drawn a thousand task ids.
    """

    def __init__(self) -> None:
        self._ends: dict[RequestId, asyncio.Future[None]] = {}

    @contextlib.contextmanager
    def track(self, request_ids: Collection[RequestId]) -> Iterator[None]:
        """Marks those request ids as in flight during the block."""
        end = asyncio.get_running_loop().create_future()
        mine = [request_id for request_id in request_ids if self._ends.setdefault(request_id, end) is end]
        try:
            yield
        finally:
            for request_id in mine:
                self._ends.pop(request_id, None)
            end.set_result(None)

    @contextlib.asynccontextmanager
    async def track_alone(self, request_ids: Collection[RequestId]) -> AsyncIterator[None]:
        """Waits until none of them is in flight, then tracks them."""
        while others := {self._ends[request_id] for request_id in request_ids if request_id in self._ends}:
            await asyncio.wait(others)
        with self.track(request_ids):
            yield
